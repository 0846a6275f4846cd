// Package listen opens the sockets on which Gadwall serves, and holds the certificates of those
// that speak TLS.
//
// # Addresses
//
// A listener is at host:port, or at a Unix socket: unix:/run/gadwall/lmtp.sock, with ?mode=666
// behind it for other permissions than 660. A socket that a dead process left is replaced, one on
// which a living process listens is not.
//
// # Proxies
//
// A proxy in front of the server (HAProxy, nginx, a cloud's balancer) connects from its own
// address. To tell the client's, it sends a header of the PROXY protocol, version 1 or 2, before
// anything else (https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt). Behind Proxied, a
// connection has the client's address as its RemoteAddr, so that limits, delays and logs are about
// the client.
//
// Only trusted proxies are believed, and from them the header is required: everybody else could
// claim any address, and a proxy that sends none is not set up as the operator thinks. A header
// that names no client (UNKNOWN, LOCAL: a health check of the proxy itself) leaves the proxy's own
// address.
//
// A goroutine for each connection reads its header, within headerTimeout, so that Accept never
// waits for a silent proxy.
//
// # Certificates
//
// Certificates chooses by the name that the client asks for (SNI), and can be read again from its
// files while connections are open. Files that cannot be used leave the certificates as they were.
package listen
