package index

import (
	"context"
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/mailkey"
)

// SetTurnRows makes blocks of fewer rows.
func (t *Turner) SetTurnRows(n int) { t.rows = n }

// Collections returns those of rows, blocks and columns.
func (x *Index) Collections() []*mongo.Collection {
	return []*mongo.Collection{x.rows, x.blocks, x.columns}
}

// WriteBlock makes a block of these mails.
func (x *Index) WriteBlock(ctx context.Context, user mailkey.UserID, numbers []uint64, grams []*Grams) error {
	m := matrix{numbers: numbers}
	for _, g := range grams {
		m.rows = append(m.rows, g.set[:])
	}
	return m.write(ctx, x, user, func(context.Context) error { return nil })
}

// WriteRows writes the rows of these mails.
func (x *Index) WriteRows(ctx context.Context, user mailkey.UserID, first uint64, grams []*Grams) error {
	docs := make([]any, len(grams))
	for i, g := range grams {
		docs[i] = g.document(user, first+uint64(i))
	}
	_, err := x.rows.InsertMany(ctx, docs)
	return err
}

// TurnRows is how many rows are turned at a time.
const TurnRows = turnRows

// BlockRows is how many mails a block has at most.
const BlockRows = blockRows

// Octets returns the bits, eight to an octet, the lowest first.
func (g *Grams) Octets() []byte {
	var out []byte
	for _, word := range g.set {
		out = binary.LittleEndian.AppendUint64(out, word)
	}
	return out
}
