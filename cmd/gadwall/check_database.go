package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"syscall"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/config"
	"gadwall/internal/database"
	"gadwall/internal/docstore"
	"gadwall/internal/node"
)

// databaseReport is what a check of the database found.
type databaseReport struct {
	Clean       bool               `json:"clean"`
	Collections []collectionReport `json:"collections"`
	// Problems are those of no collection.
	Problems []string `json:"problems,omitempty"`
}

type collectionReport struct {
	Name      string `json:"name"`
	Documents int64  `json:"documents"`
	// Entries counts the entries of each index.
	Entries  map[string]int64 `json:"indexEntries"`
	Problems []string         `json:"problems,omitempty"`
	// Warnings are what the database finds remarkable, and no damage.
	Warnings []string `json:"warnings,omitempty"`
}

func (c *checkCmd) database(std streams) error {
	report, err := c.checkDatabase(std)
	if err != nil {
		return err
	}
	if c.JSON {
		encoder := json.NewEncoder(std.out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		err = report.print(std.out)
	}
	if err == nil && !report.Clean {
		return exitError(exitDamaged)
	}
	return err
}

// checkDatabase checks the data directory itself when no server has it open, and else through the
// server.
func (c *checkCmd) checkDatabase(std streams) (_ *databaseReport, err error) {
	log, _, err := newLogger(c.Log, std)
	if err != nil {
		return nil, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	store, err := node.OpenDatabase(ctx, node.Options{Storage: c.Storage, Access: node.Looking, Logger: log})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	progress := func(collection string) { fmt.Fprintln(std.err, "checking", collection) }
	var report *databaseReport
	if store.Embedded != nil {
		report, err = checkEmbedded(ctx, store.Embedded, progress)
	} else {
		report, err = validateAll(ctx, store.Client, c.Storage, progress)
	}
	if err != nil {
		return nil, fmt.Errorf("check the database: %w", err)
	}
	return report, nil
}

func checkEmbedded(ctx context.Context, server *docstore.Server, progress func(string)) (*databaseReport, error) {
	found, err := server.Check(ctx, progress)
	if err != nil {
		return nil, err
	}
	report := &databaseReport{Clean: found.Clean(), Problems: found.Texts()}
	for _, c := range found.Collections {
		r := collectionReport{
			Name:      c.DB + "." + c.Name,
			Documents: c.Documents,
			Entries:   map[string]int64{},
			Problems:  c.Texts(),
		}
		for _, index := range c.Indexes {
			r.Entries[index.Name] = index.Keys
		}
		report.Collections = append(report.Collections, r)
	}
	return report, nil
}

// validateReply is what MongoDB's command validate answers: for the collection, or for its part on
// each shard.
type validateReply struct {
	Valid    bool                     `bson:"valid"`
	Records  int64                    `bson:"nrecords"`
	Entries  map[string]int64         `bson:"keysPerIndex"`
	Errors   []string                 `bson:"errors"`
	Warnings []string                 `bson:"warnings"`
	Shards   map[string]validateReply `bson:"raw"`
}

// validateAll runs validate on each collection: of the whole embedded database, or of Gadwall's own
// on a MongoDB, where it runs in the background, since otherwise it would keep everybody out of the
// collection.
func validateAll(ctx context.Context, client *mongo.Client, cfg config.Storage,
	progress func(string)) (*databaseReport, error) {
	databases := []string{cfg.MongoDBDatabase}
	if cfg.Embedded() {
		var err error
		if databases, err = client.ListDatabaseNames(ctx, bson.D{}); err != nil {
			return nil, err
		}
	}
	report := &databaseReport{Clean: true}
	ctx, cancel := database.Unbounded(ctx)
	defer cancel()
	for _, name := range databases {
		db := client.Database(name)
		collections, err := db.ListCollectionNames(ctx, bson.D{{Key: "type", Value: "collection"}})
		if err != nil {
			return nil, err
		}
		slices.Sort(collections)
		for _, collection := range collections {
			progress(name + "." + collection)
			var reply validateReply
			command := bson.D{{Key: "validate", Value: collection}, {Key: "background", Value: true}}
			if err := db.RunCommand(ctx, command).Decode(&reply); err != nil {
				return nil, fmt.Errorf("%s.%s: %w", name, collection, err)
			}
			if cfg.Embedded() {
				delete(reply.Entries, "_id_") // counts the documents themselves
			}
			r := collectionReport{Name: name + "." + collection, Entries: map[string]int64{}}
			if len(reply.Shards) == 0 {
				r.add("", reply)
			}
			for shard, part := range reply.Shards {
				r.add(shard+": ", part)
			}
			report.Clean = report.Clean && len(r.Problems) == 0
			report.Collections = append(report.Collections, r)
		}
	}
	return report, nil
}

func (r *collectionReport) add(where string, reply validateReply) {
	r.Documents += reply.Records
	for index, n := range reply.Entries {
		r.Entries[index] += n
	}
	for _, text := range reply.Errors {
		r.Problems = append(r.Problems, where+text)
	}
	for _, text := range reply.Warnings {
		r.Warnings = append(r.Warnings, where+text)
	}
	if !reply.Valid && len(reply.Errors) == 0 {
		r.Problems = append(r.Problems, where+"not valid")
	}
}

// print writes a line for each collection and problem, and a last one that sums up.
func (r *databaseReport) print(w io.Writer) error {
	var out []byte
	problems, documents := len(r.Problems), int64(0)
	for _, text := range r.Problems {
		out = fmt.Appendln(out, text)
	}
	for _, c := range r.Collections {
		entries := int64(0)
		for _, n := range c.Entries {
			entries += n
		}
		out = fmt.Appendf(out, "%s: %s, %s\n", c.Name, count(c.Documents, "document"), count(entries, "index entry"))
		for _, text := range c.Problems {
			out = fmt.Appendln(out, "  "+text)
		}
		for _, text := range c.Warnings {
			out = fmt.Appendln(out, "  warning, no damage: "+text)
		}
		problems += len(c.Problems)
		documents += c.Documents
	}
	if r.Clean {
		out = fmt.Appendf(out, "clean: %s, %s\n", count(len(r.Collections), "collection"),
			count(documents, "document"))
	} else {
		out = fmt.Appendf(out, "damaged: %s\n", count(problems, "problem"))
	}
	_, err := w.Write(out)
	return err
}
