package main

import (
	"errors"
	"fmt"

	"gadwall/internal/config"
)

// checkCmd looks for damage: exit status 0 if there is none, 3 if all of it was repaired, 4 if some
// remains. What it looks at is chosen by flags, each of which has a file of its own.
type checkCmd struct {
	config.Storage
	config.Log
	Database      bool        `help:"Compare the indexes of the database with its documents, instead of what the documents say."`
	Repair        bool        `help:"Repair what can be."`
	Deep          bool        `help:"Read all contents and blobs, and compare their hashes."`
	Offline       bool        `help:"Nothing else uses the store, so judge also what was used within the last day. Otherwise mail would be lost."`
	CheckTempSize config.Size `name:"check-temp-size" env:"GADWALL_CHECK_TEMP_SIZE" default:"8GiB" help:"How much the temporary files of the check may take."`
	JSON          bool        `name:"json" help:"Print the result as JSON."`
}

func (c *checkCmd) Run(std streams) error {
	if err := c.Storage.Check(); err != nil {
		return usageError{err}
	}
	if c.CheckTempSize < config.MinCheckTempSize {
		return usageError{fmt.Errorf("--check-temp-size: want at least %v", config.Size(config.MinCheckTempSize))}
	}
	if !c.Database {
		return c.store(std)
	}
	if c.Repair || c.Deep || c.Offline {
		return usageError{errors.New("--database goes without --repair, --deep and --offline")}
	}
	return c.database(std)
}
