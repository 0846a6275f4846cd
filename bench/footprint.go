package bench

import "gadwall/internal/database"

// FootprintWorkload is the workload of lines with the values of a Footprint.
const FootprintWorkload = "footprint"

// Parameters of such lines: how many mails there are, and the attachments in a hundred that were there
// before, which is not known of mail that was not generated.
const (
	FootprintMails      = "mails"
	FootprintDuplicates = "duplicates"
)

// Names of the values of a Footprint. Those of a class begin with its name, those of a collection with
// CollectionPrefix and its name.
const (
	FootprintReceived  = "received-bytes"
	FootprintDirectory = "directory-bytes"
	FootprintOplog     = "oplog-bytes"

	ClassLogical = "-logical-bytes"
	ClassDecoded = "-decoded-bytes"
	ClassUnique  = "-unique-bytes"
	ClassStored  = "-stored-bytes"

	CollectionPrefix    = "collection-"
	CollectionDocuments = "-documents"
	CollectionBytes     = "-document-bytes"
	CollectionStored    = "-table-bytes"
	CollectionIndexes   = "-index-bytes"
)

// Footprint is what a store takes at one moment, or has taken between two. What is not known is nil
// or 0.
type Footprint struct {
	Space       *Space
	Collections []database.CollectionSpace
	Directory   int64
	Oplog       int64 // bytes that a replica set has written for its members
}

// Since returns what was added since an earlier moment.
func (f *Footprint) Since(before *Footprint) *Footprint {
	d := &Footprint{Directory: f.Directory - before.Directory, Oplog: f.Oplog - before.Oplog}
	if f.Space != nil && before.Space != nil {
		d.Space = newSpace()
		for _, class := range Classes {
			d.Space.Logical[class] = f.Space.Logical[class] - before.Space.Logical[class]
			d.Space.Decoded[class] = f.Space.Decoded[class] - before.Space.Decoded[class]
			d.Space.Unique[class] = f.Space.Unique[class] - before.Space.Unique[class]
			d.Space.Stored[class] = f.Space.Stored[class] - before.Space.Stored[class]
		}
	}
	earlier := make(map[string]database.CollectionSpace)
	for _, c := range before.Collections {
		earlier[c.Name] = c
	}
	for _, c := range f.Collections {
		was := earlier[c.Name]
		d.Collections = append(d.Collections, database.CollectionSpace{
			Name: c.Name, Documents: c.Documents - was.Documents,
			Bytes: c.Bytes - was.Bytes, Stored: c.Stored - was.Stored, Indexes: c.Indexes - was.Indexes})
	}
	return d
}

// Values are those of a result line. received is the size of all messages as they came.
func (f *Footprint) Values(received int64) map[string]float64 {
	values := map[string]float64{FootprintReceived: float64(received)}
	if f.Directory > 0 {
		values[FootprintDirectory] = float64(f.Directory)
	}
	if f.Oplog > 0 {
		values[FootprintOplog] = float64(f.Oplog)
	}
	for _, class := range Classes {
		if f.Space == nil || f.Space.Logical[class] == 0 {
			continue
		}
		values[string(class)+ClassLogical] = float64(f.Space.Logical[class])
		values[string(class)+ClassDecoded] = float64(f.Space.Decoded[class])
		values[string(class)+ClassUnique] = f.Space.Unique[class]
		values[string(class)+ClassStored] = f.Space.Stored[class]
	}
	for _, c := range f.Collections {
		name := CollectionPrefix + c.Name
		values[name+CollectionDocuments] = float64(c.Documents)
		values[name+CollectionBytes] = float64(c.Bytes)
		values[name+CollectionStored] = float64(c.Stored)
		values[name+CollectionIndexes] = float64(c.Indexes)
	}
	return values
}
