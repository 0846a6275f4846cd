package database

import (
	"context"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Compressors of collections. "" is what the server uses for all.
const (
	Zstd         = "zstd"
	Uncompressed = "none" // for documents whose bytes are compressed already
)

// A Form is how a collection is to be stored. It is decided when the collection is created.
type Form struct {
	Name string
	// Clustered asks for documents in the order of _id (MongoDB 5.3), so that ranges of keys are read
	// sequentially.
	Clustered bool
	// Compressor is that of the blocks of WiredTiger.
	Compressor string
}

// refusedForm are the codes with which servers refuse options that they do not know (clustered
// collections before MongoDB 5.3), or a storage engine or compressor that they do not have. No other
// error may lead to a collection of another form, which would stay.
var refusedForm = []Code{BadValue, FailedToParse, TypeMismatch, InvalidOptions, CommandNotSupported,
	NotImplemented, IDLUnknownField}

// CreateCollections creates the collections that do not exist. A server that cannot store one in its
// form stores it in another.
func CreateCollections(ctx context.Context, db *mongo.Database, forms []Form) error {
	names, err := db.ListCollectionNames(ctx, bson.D{})
	if err != nil {
		return fmt.Errorf("list collections: %w", err)
	}
	have := make(map[string]bool)
	for _, name := range names {
		have[name] = true
	}
	for _, f := range forms {
		if have[f.Name] {
			continue
		}
		if err := f.create(ctx, db); err != nil {
			return fmt.Errorf("create collection %s: %w", f.Name, err)
		}
	}
	return nil
}

// create creates the collection in the first of these ways that the server accepts. It is no error if
// another instance was faster.
func (f *Form) create(ctx context.Context, db *mongo.Database) error {
	ways := []Form{*f}
	if f.Compressor != "" {
		ways = append(ways, Form{f.Name, f.Clustered, ""})
	}
	if f.Clustered {
		for _, w := range ways {
			ways = append(ways, Form{f.Name, false, w.Compressor})
		}
	}
	var err error
	for _, w := range ways {
		err = db.CreateCollection(ctx, w.Name, w.options())
		if HasCode(err, NamespaceExists) {
			return nil
		}
		if err == nil || !HasCode(err, refusedForm...) {
			return err
		}
	}
	return err
}

func (f *Form) options() *options.CreateCollectionOptionsBuilder {
	o := options.CreateCollection()
	if f.Clustered {
		o.SetClusteredIndex(bson.D{{Key: "key", Value: bson.D{{Key: "_id", Value: 1}}}, {Key: "unique", Value: true}})
	}
	if f.Compressor != "" {
		o.SetStorageEngine(bson.D{{Key: "wiredTiger", Value: bson.D{
			{Key: "configString", Value: compressorOption + f.Compressor}}}})
	}
	return o
}

const compressorOption = "block_compressor="

// Compression returns with which compressors collections were created: "" for the server's, which may
// change. A collection keeps its compressor as long as it exists.
func Compression(ctx context.Context, db *mongo.Database) (map[string]string, error) {
	specs, err := db.ListCollectionSpecifications(ctx, bson.D{})
	if err != nil {
		return nil, fmt.Errorf("list collections: %w", err)
	}
	list := make(map[string]string)
	for _, spec := range specs {
		if spec.Type == "view" {
			continue
		}
		text, _ := spec.Options.Lookup("storageEngine", "wiredTiger", "configString").StringValueOK()
		list[spec.Name] = compressorIn(text)
	}
	return list, nil
}

// compressorIn returns the compressor that a configuration string names.
func compressorIn(text string) string {
	for part := range strings.SplitSeq(text, ",") {
		if name, ok := strings.CutPrefix(strings.TrimSpace(part), compressorOption); ok {
			return name
		}
	}
	return ""
}
