package index

import "go.mongodb.org/mongo-driver/v2/mongo"

// SetTurnRows makes blocks of fewer rows.
func (t *Turner) SetTurnRows(n int) { t.rows = n }

// Collections returns those of rows, blocks and columns.
func (x *Index) Collections() []*mongo.Collection {
	return []*mongo.Collection{x.rows, x.blocks, x.columns}
}
