package dictionary

import (
	"embed"
	"fmt"
	"sync"
)

//go:generate go run ./gen -version 2

// Version is the version of the newest shipped dictionaries. Their files are
// shipped/KIND-VERSION.zdict. To make new ones, raise it, run go generate, and leave the old files
// where they are.
const Version = 1

//go:embed shipped/*.zdict
var files embed.FS

// ShippedID returns the ID of a shipped dictionary.
func ShippedID(kind Kind, version int) ID { return ID(firstShipped + 8*version + int(kind)) }

// ShippedFile returns its name in this package's directory.
func ShippedFile(kind Kind, version int) string {
	return fmt.Sprintf("shipped/%v-%d.zdict", kind, version)
}

// shipped has all shipped dictionaries.
var shipped = sync.OnceValue(func() map[ID]*Dictionary {
	all := make(map[ID]*Dictionary)
	for version := 1; version <= Version; version++ {
		for kind := range Kind(Kinds) {
			name := ShippedFile(kind, version)
			data, err := files.ReadFile(name)
			if err != nil {
				panic(err) // the program was built without a file that it must have
			}
			d, err := New(kind, data)
			if err != nil || d.id != ShippedID(kind, version) {
				panic(fmt.Sprintf("%s: not dictionary %d: %v", name, ShippedID(kind, version), err))
			}
			all[d.id] = d
		}
	}
	return all
})

// Current are the dictionaries that new frames use, by their kinds. Nil is none.
type Current [Kinds]*Dictionary

// Shipped returns the newest shipped dictionaries.
func Shipped() Current {
	var c Current
	for kind := range Kind(Kinds) {
		c[kind] = shipped()[ShippedID(kind, Version)]
	}
	return c
}
