package ingest

import (
	"context"
	"crypto/tls"
	"io"
)

// startTLS answers STARTTLS (RFC 3207) and puts TLS under the guard. go-smtp
// sees RSET instead, because everything learned before is forgotten.
func (g *guard) startTLS() error {
	// Commands sent in clear behind STARTTLS must not be taken as sent under
	// TLS: RFC 3207 section 5 leaves them unspecified; they are thrown away.
	if _, err := g.in.Discard(g.in.Buffered()); err != nil {
		return err
	}
	g.reply("220 2.0.0 Ready to start TLS")
	if err := g.flush(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	conn := tls.Server(g.raw, g.srv.opts.TLSConfig)
	if err := conn.HandshakeContext(ctx); err != nil {
		g.srv.log.Debug("TLS handshake failed", "remote", g.raw.RemoteAddr().String(), "error", err)
		return io.EOF // nothing can be said to this client any more
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.raw = conn
	g.tls = true
	g.helo, g.extended = "", false
	g.in.Reset(rawReader{g})
	g.verb = "RSET"
	g.line = append(g.line[:0], "RSET\r\n"...)
	g.swallow = true
	return nil
}
