package nodetest

import "time"

const (
	// installTimeout bounds the installation of the packages, scriptTimeout a script.
	installTimeout = 5 * time.Minute
	scriptTimeout  = 5 * time.Minute
)
