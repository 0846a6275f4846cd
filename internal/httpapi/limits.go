package httpapi

import "time"

const (
	// maxBody bounds a request's body (413).
	maxBody = 64 << 10
	// maxHeader bounds a request's header (431, by net/http).
	maxHeader = 16 << 10
	// maxConnections bounds open connections; further ones wait.
	maxConnections = 1000

	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = time.Minute
	idleTimeout   = 2 * time.Minute
	// requestTimeout bounds the work for one request; less than writeTimeout.
	requestTimeout = 45 * time.Second
	// healthTimeout bounds how long the database may take to answer a ping.
	healthTimeout = 3 * time.Second
)
