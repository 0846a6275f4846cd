package blobstore_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/blobstore"
	"gadwall/internal/docstore"
)

// A Writer stores bytes once, however often they come. A Blob is read from any offset.
func Example() {
	ctx := context.Background()
	// Any MongoDB will do. This is the embedded database, in memory.
	server, err := docstore.Open(docstore.Options{Dir: "example", FS: vfs.NewMem()})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	client, err := mongo.Connect(server.ClientOptions())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Disconnect(ctx)

	store, err := blobstore.New(client.Database("mail"), blobstore.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := store.EnsureIndexes(ctx); err != nil {
		log.Fatal(err)
	}

	data := strings.Repeat("All work and no play makes Jack a dull boy.\n", 10_000)
	var stored *blobstore.Stored
	for range 2 {
		w := store.NewWriter(ctx)
		defer w.Abort(ctx) // does nothing after Finish
		if _, err := w.Write([]byte(data)); err != nil {
			log.Fatal(err)
		}
		if stored, err = w.Finish(ctx); err != nil {
			log.Fatal(err)
		}
		fmt.Println("stored before:", stored.Shared)
	}

	blob, err := store.Open(ctx, stored.Hash)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(blob.Size(), "bytes")
	if err := blob.ReadRange(ctx, 440_000-44, 44, os.Stdout); err != nil {
		log.Fatal(err)
	}
	// Output:
	// stored before: false
	// stored before: true
	// 440000 bytes
	// All work and no play makes Jack a dull boy.
}
