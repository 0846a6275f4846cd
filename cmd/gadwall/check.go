package main

import (
	"errors"

	"gadwall/internal/config"
)

// checkCmd looks for damage: exit status 0 if there is none, 1 if there is. What it looks at is chosen by flags, each of
// which has a file of its own.
type checkCmd struct {
	config.Storage
	config.Log
	Database bool `help:"Compare the indexes of the database with its documents."`
	JSON     bool `name:"json" help:"Print the result as JSON."`
}

func (c *checkCmd) Run(std streams) error {
	if err := c.Storage.Check(); err != nil {
		return usageError{err}
	}
	if !c.Database {
		return usageError{errors.New("say what to check: --database")}
	}
	return c.database(std)
}
