// Package config holds gadwall's settings: their names, defaults, where they come
// from and what must be true of them.
//
// Each setting is a flag, an environment variable (GADWALL_ and the flag's name in
// capitals, - as _) and a key of the TOML file named by --config, in that order of precedence. A
// key of the file that is no setting is an error, and so is every value that
// cannot work: Check says so before anything is opened or written.
//
// Secrets (http-token, passwords within mongodb-uri and redis-url) are never part of an error's
// text.
package config
