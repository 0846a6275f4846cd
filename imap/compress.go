package imap

import (
	"context"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/deflate"
	"gadwall/imap/wire"
)

// codeCompressionActive is of RFC 4978 section 3.
const codeCompressionActive imap.ResponseCode = "COMPRESSIONACTIVE"

// compression is what is between the codec and the connection once the client asked for it. It stays
// until UNAUTHENTICATE, or the end of the connection.
type compression struct {
	in  *deflate.Reader
	out *deflate.Writer
}

// handleCompress answers COMPRESS (RFC 4978 section 3).
func (c *conn) handleCompress(_ context.Context, cmd *command) error {
	if err := cmd.args.SP(); err != nil {
		return err
	}
	mechanism, err := cmd.args.Keyword()
	if err != nil {
		return err
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	if mechanism != "DEFLATE" {
		return wire.Errorf("unknown compression %s", clip(mechanism))
	}
	if c.compressed != nil {
		return refuse(codeCompressionActive, "DEFLATE is active")
	}
	cmd.ok("", "DEFLATE active")
	cmd.after = c.compress
	return nil
}

// compress begins once the OK is sent as it is. Whatever the client has sent behind the command
// is compressed.
func (c *conn) compress() error {
	first := c.dec.TakeBuffered()
	if c.plain != nil {
		first = append(first, c.plain.Rest()...)
		c.plain = nil
	}
	c.compressed = &compression{
		in: deflate.NewReader(c.in, first), out: deflate.NewWriter(c.out, c.srv.compressors),
	}
	c.dec.Reset(c.compressed.in)
	c.enc.Reset(c.compressed.out)
	return nil
}

// decompress ends compression once the OK of UNAUTHENTICATE is sent (RFC 8437 section 4.1). Whatever
// the client has sent behind the command is not compressed.
func (c *conn) decompress() error {
	if c.dec.Buffered() > 0 {
		return deflate.ErrCorrupt
	}
	if err := c.compressed.in.Plain(); err != nil {
		return err
	}
	if err := c.compressed.out.Close(); err != nil {
		return err
	}
	c.plain, c.compressed = c.compressed.in, nil
	c.dec.Reset(c.plain)
	c.enc.Reset(c.out)
	return nil
}

// hasInput reports whether something of the client has arrived that the next read gives without
// waiting.
func (c *conn) hasInput() bool {
	return c.dec.Buffered() > 0 || c.compressed != nil && c.compressed.in.Ready() ||
		c.plain != nil && c.plain.Ready()
}

// hasDecoded takes the octet that has arrived, and reports whether the next read gives something
// without waiting. With COMPRESS, an octet may be a piece of what is to be decompressed, or of a flush,
// which means nothing.
func (c *conn) hasDecoded() bool {
	switch {
	case c.compressed != nil:
		return c.compressed.in.Take()
	case c.plain != nil:
		return c.plain.Take()
	}
	return true
}
