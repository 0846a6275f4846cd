package docstore

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// collStatsStage is the stage that says what a collection takes. It can only be a pipeline's first,
// and here its only one.
const collStatsStage = "$collStats"

// wantsCollStats reports whether a pipeline begins with that stage.
func wantsCollStats(stages []bson.Raw) bool {
	if len(stages) == 0 {
		return false
	}
	it := rawdoc.Over(stages[0])
	return it.Next() && string(it.Key()) == collStatsStage
}

// checkCollStats takes what is supported of the stage: {storageStats: {}}, and nothing after it.
func (r *request) checkCollStats(stages []bson.Raw) error {
	if len(stages) > 1 {
		return mongoerr.New(mongoerr.NotImplemented, "stages after %s are not supported", collStatsStage)
	}
	it := rawdoc.Over(stages[0])
	it.Next()
	spec, err := r.docArg(collStatsStage, it.Value())
	if err != nil {
		return err
	}
	given := false
	for it := rawdoc.Over(spec); it.Next(); {
		if key := string(it.Key()); key != "storageStats" {
			return mongoerr.New(mongoerr.NotImplemented, "%s does not support '%s'", collStatsStage, key)
		}
		if err := notEmpty(collStatsStage, "storageStats", it.Value()); err != nil {
			return err
		}
		given = true
	}
	if !given {
		return mongoerr.New(mongoerr.NotImplemented, "%s without storageStats is not supported", collStatsStage)
	}
	return nil
}

func (s *Server) collStats(ctx context.Context, r *request, a *aggregateArgs) (bson.Raw, error) {
	if err := r.checkCollStats(a.stages); err != nil {
		return nil, err
	}
	if r.inTransaction {
		return nil, mongoerr.New(mongoerr.NotSupportedInTransaction,
			"Stage not supported inside of a multi-document transaction: %s", collStatsStage)
	}
	c := s.eng.Catalog().Lookup(r.db, a.collection)
	if c == nil {
		return nil, mongoerr.New(mongoerr.NamespaceNotFound, "Collection [%s.%s] not found.", r.db, a.collection)
	}
	stats, err := s.eng.StorageStats(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("statistics of %s: %w", c.Namespace(), err)
	}
	doc, err := bson.Marshal(bson.D{{Key: "ns", Value: c.Namespace()}, {Key: "storageStats", Value: stats}})
	if err != nil {
		return nil, err
	}
	return s.openList(ctx, r, c.Namespace(), []bson.Raw{doc}, a.batch)
}
