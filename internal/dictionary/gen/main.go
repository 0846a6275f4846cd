// Command gen trains the shipped dictionaries, on generated mail of seeds that no measurement uses:
//
//	go run ./gen -version 2
//
// writes shipped/*-2.zdict; then raise Version. The trainer does not return the same bytes twice,
// so nobody can make a version again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/bench"
	"gadwall/blobstore"
	"gadwall/internal/contents"
	"gadwall/internal/dictionary"
	"gadwall/internal/docstore"
)

const (
	worlds = 64 // as many companies' mail as possible: what they have in common is wanted
	mails  = 40 // of each
)

func main() {
	version := flag.Int("version", 0, "the version to make, one more than the newest")
	flag.Parse()
	if err := run(context.Background(), *version); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, version int) error {
	if version != dictionary.Version+1 {
		return fmt.Errorf("-version %d: the next one is %d", version, dictionary.Version+1)
	}
	samples, err := samples(ctx)
	if err != nil {
		return err
	}
	for kind := range dictionary.Kind(dictionary.Kinds) {
		d, err := dictionary.Train(kind, dictionary.ShippedID(kind, version), samples[kind])
		if err != nil {
			return err
		}
		name := dictionary.ShippedFile(kind, version)
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s exists", name)
		}
		if err := os.WriteFile(name, d.Bytes(), 0o644); err != nil {
			return err
		}
		fmt.Printf("%s: %d samples\n", name, len(samples[kind]))
	}
	return nil
}

// samples stores the training mail and reads the frames it becomes.
func samples(ctx context.Context) (_ [dictionary.Kinds][][]byte, err error) {
	var none [dictionary.Kinds][][]byte
	dir, err := os.MkdirTemp("", "gadwall-gen-")
	if err != nil {
		return none, err
	}
	defer os.RemoveAll(dir)
	server, err := docstore.Open(docstore.Options{Dir: dir})
	if err != nil {
		return none, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	client, err := mongo.Connect(server.ClientOptions())
	if err != nil {
		return none, err
	}
	defer func() { err = errors.Join(err, client.Disconnect(ctx)) }()
	db := client.Database("gen")
	blobs, err := blobstore.New(db, blobstore.Options{})
	if err != nil {
		return none, err
	}
	store, err := contents.New(db, blobs, contents.Options{})
	if err != nil {
		return none, err
	}
	if err := store.EnsureIndexes(ctx); err != nil {
		return none, err
	}
	for k := range uint64(worlds) {
		corpus := bench.NewCorpus(bench.CorpusOptions{Seed: bench.TrainingSeed + k, NoFiles: true})
		for n := range mails {
			w := store.NewWriter(ctx)
			_, err := w.Write(corpus.Message(n).Raw)
			if err == nil {
				_, err = w.Finish(ctx, 1)
			}
			w.Abort(ctx)
			if err != nil {
				return none, err
			}
		}
	}
	return store.Sample(ctx, dictionary.SampleBytes)
}
