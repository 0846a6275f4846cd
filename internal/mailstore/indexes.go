package mailstore

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
)

// Names of indexes: that on mod-sequences, that on message identifiers, and those on marks.
const (
	indexModSeq   = "modseq"
	indexUnseen   = "unseen"
	indexDeleted  = "deleted"
	indexLinks    = "links"
	indexDeleting = "deleting"
	// indexDomain lists the users of a domain; indexDeleteAfter those who go for good some day.
	indexDomain      = "domain"
	indexDeleteAfter = "deleteAfter"
	// indexUses lists the mailboxes of a special use, indexExpiring those with an expiry of their own.
	indexUses     = "uses"
	indexExpiring = "expiring"
	// indexShared finds the mailboxes that are shared with somebody.
	indexShared = "shared"
	// indexUserLogins and indexFailedLogins list entries of the authentication log by time.
	indexUserLogins   = "user"
	indexFailedLogins = "failed"
	// indexChanges lists the metadata of a user in the order of changes.
	indexChanges = "changes"
)

// ensureCollections creates the collections (a transaction on a sharded cluster must not) where they
// do not exist, and the indexes of those without documents. Package schema has the others built.
func (s *Store) ensureCollections(ctx context.Context) error {
	if err := database.CreateCollections(ctx, s.db, Forms()); err != nil {
		return err
	}
	var err error
	if s.clustered, err = s.isClustered(ctx); err != nil {
		return err
	}
	missing, err := database.CreateWhereEmpty(ctx, s.indexes())
	if err != nil {
		return err
	}
	s.missing = make(map[string]bool)
	for _, d := range missing {
		s.missing[d.Index] = s.missing[d.Index] || d.Collection == collMessages
	}
	if s.missing[indexModSeq] {
		return nil // the server could not explain a query that names it
	}
	covered, err := s.coversUIDs(ctx)
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	s.uidsFromIndex = s.clustered && covered
	return nil
}

// coversUIDs asks the server whether it would answer changedFilter, when only keys are wanted,
// without reading documents.
func (s *Store) coversUIDs(ctx context.Context) (bool, error) {
	raw, err := s.db.RunCommand(ctx, bson.D{
		{Key: "explain", Value: bson.D{
			{Key: "find", Value: collMessages},
			{Key: "hint", Value: indexModSeq},
			{Key: "filter", Value: changedFilter(mailkey.Mailbox{}, 0)},
			{Key: "projection", Value: projection(0)}}},
		{Key: "verbosity", Value: "queryPlanner"}}).Raw()
	if err != nil {
		return false, err
	}
	plan, ok := raw.Lookup("queryPlanner", "winningPlan").DocumentOK()
	if !ok {
		return false, nil
	}
	if ofShard, ok := plan.Lookup("shards", "0", "winningPlan").DocumentOK(); ok {
		plan = ofShard
	}
	if inner, ok := plan.Lookup("queryPlan").DocumentOK(); ok { // the slot-based engine
		plan = inner
	}
	stage, _ := plan.Lookup("stage").StringValueOK()
	return stage == "PROJECTION_COVERED", nil
}

// Forms returns how the collections of users and their mail are to be stored. Messages are clustered
// by _id, so that reading a mailbox is sequential.
func Forms() []database.Form {
	return []database.Form{
		{Name: collMessages, Clustered: true, Compressor: database.Zstd},
		{Name: collJournal, Compressor: database.Zstd},
		{Name: collUsers}, {Name: collAddresses}, {Name: collMailboxes}, {Name: collSubscriptions},
		{Name: collTokens}, {Name: collSending}, {Name: collShares}, {Name: collSeen}, {Name: collState},
		{Name: collRolls, Compressor: database.Zstd},
		{Name: collDomains}, {Name: collMetadata}, {Name: collAuthlog, Compressor: database.Zstd},
	}
}

func (s *Store) isClustered(ctx context.Context) (bool, error) {
	specs, err := s.db.ListCollectionSpecifications(ctx, bson.D{{Key: "name", Value: collMessages}})
	if err != nil {
		return false, fmt.Errorf("list collection %s: %w", collMessages, err)
	}
	if len(specs) == 0 {
		return false, nil // opened to be read, and there is nothing yet
	}
	v, err := specs[0].Options.LookupErr("clusteredIndex")
	return err == nil && v.Type != bson.TypeNull, nil
}

// MissingIndexes returns the differences between the database's indexes, those of contents and
// blobs included, and those that the code needs.
func (s *Store) MissingIndexes(ctx context.Context) ([]database.Difference, error) {
	return database.CompareIndexes(ctx, append(s.indexes(), s.contents.Indexes()...))
}

// EnsureIndexes creates what is missing of the collections and indexes, however long it takes.
func (s *Store) EnsureIndexes(ctx context.Context) error {
	if err := s.ensureCollections(ctx); err != nil {
		return err
	}
	return database.CreateIndexes(ctx, append(s.indexes(), s.contents.Indexes()...))
}

func (s *Store) indexes() []database.Indexes { return Indexes(s.db) }

// Indexes returns all indexes of the collections of users and their mail. docs/storage.md says what
// each is for.
func Indexes(db *mongo.Database) []database.Indexes {
	in := func(name string) *mongo.Collection { return db.Collection(name, database.Collection()) }
	index := func(name string, keys ...string) mongo.IndexModel {
		var spec bson.D
		for _, k := range keys {
			spec = append(spec, bson.E{Key: k, Value: 1})
		}
		return mongo.IndexModel{Keys: spec, Options: options.Index().SetName(name)}
	}
	marked := func(m mongo.IndexModel, field string) mongo.IndexModel {
		m.Options.SetPartialFilterExpression(bson.D{{Key: field, Value: true}})
		return m
	}
	present := func(m mongo.IndexModel, field string) mongo.IndexModel {
		m.Options.SetPartialFilterExpression(bson.D{{Key: field, Value: bson.D{{Key: "$exists", Value: true}}}})
		return m
	}
	unique := func(m mongo.IndexModel) mongo.IndexModel {
		m.Options.SetUnique(true)
		return m
	}
	// Entries say themselves when they expire. Before, they had their time in a field t, and an index
	// "expiry" removed them 60 days later; where it is, it still removes those entries.
	expired := index("expires", journalExpires)
	expired.Options.SetExpireAfterSeconds(0)
	forgotten := index("expires", sendingExpires)
	forgotten.Options.SetExpireAfterSeconds(0)
	oldLogins := index("expires", authlogExpires)
	oldLogins.Options.SetExpireAfterSeconds(0)
	removed := index("expires", metadataExpires)
	removed.Options.SetExpireAfterSeconds(0)
	return []database.Indexes{
		{Collection: in(collUsers), Models: []mongo.IndexModel{
			// Not unique: in a sharded collection only the shard key can be. The user's address is,
			// which the same transaction inserts. Before, there was a unique index "name".
			index("names", userName),
			index(indexDomain, userDomain, userName),
			present(index(indexDeleteAfter, userState, userDeleteAfter), userDeleteAfter),
			marked(index(indexDeleting, userDeleting), userDeleting)},
			Optional: []string{"names"}},
		{Collection: in(collAddresses), Models: []mongo.IndexModel{index("user", addressUser)}},
		{Collection: in(collMailboxes), Models: []mongo.IndexModel{
			unique(index("path", boxUser, boxPath)),
			present(index(indexShared, boxSharedWith), boxSharedWith),
			present(index(indexUses, boxSpecialUse, DocID), boxSpecialUse),
			present(index(indexExpiring, DocID, boxExpire), boxExpire),
			marked(index(indexDeleting, boxDeleting), boxDeleting)},
			Optional: []string{indexUses, indexExpiring}},
		{Collection: in(collSeen), Models: []mongo.IndexModel{index("user", seenUser)}},
		{Collection: in(collSubscriptions), Models: []mongo.IndexModel{index("user", subscriptionUser)}},
		{Collection: in(collMessages), Models: []mongo.IndexModel{
			index(indexModSeq, DocMailbox, DocModSeq, DocID),
			index(indexLinks, DocLinks),
			marked(index(indexUnseen, DocUnseen, DocID), DocUnseen),
			marked(index(indexDeleted, DocDeleted, DocID), DocDeleted)},
			Optional: []string{indexUnseen, indexDeleted}},
		{Collection: in(collJournal), Models: []mongo.IndexModel{expired}, Optional: []string{"expires"}},
		{Collection: in(collSending), Models: []mongo.IndexModel{forgotten}, Optional: []string{"expires"}},
		{Collection: in(collTokens), Models: []mongo.IndexModel{index("user", tokenUser)}, Optional: []string{"user"}},
		{Collection: in(collAuthlog), Models: []mongo.IndexModel{
			oldLogins,
			index(indexUserLogins, authlogUser, authlogLast, "_id"),
			marked(index(indexFailedLogins, authlogFailed, authlogLast, "_id"), authlogFailed)},
			Optional: []string{"expires"}},
		{Collection: in(collMetadata), Models: []mongo.IndexModel{
			index(indexChanges, metadataUser, metadataChange),
			index("owner", metadataUser, metadataActor),
			present(index("actor", metadataActor), metadataActor), removed},
			Optional: []string{"owner"}},
	}
}
