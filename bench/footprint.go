package bench

// Names of the values that Footprint makes. Those of a class begin with its name, those of a
// collection with CollectionPrefix and its name.
const (
	FootprintReceived  = "received-bytes"
	FootprintDirectory = "directory-bytes"

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

// Footprint returns what mail takes as values of a result line. directory is 0 if it is not known.
func (s *Space) Footprint(received, directory int64, collections []CollectionSpace) map[string]float64 {
	values := map[string]float64{FootprintReceived: float64(received)}
	if directory > 0 {
		values[FootprintDirectory] = float64(directory)
	}
	for _, class := range Classes {
		if s.Logical[class] == 0 {
			continue
		}
		values[string(class)+ClassLogical] = float64(s.Logical[class])
		values[string(class)+ClassDecoded] = float64(s.Decoded[class])
		values[string(class)+ClassUnique] = s.Unique[class]
		values[string(class)+ClassStored] = s.Stored[class]
	}
	for _, c := range collections {
		name := CollectionPrefix + c.Name
		values[name+CollectionDocuments] = float64(c.Documents)
		values[name+CollectionBytes] = float64(c.Bytes)
		values[name+CollectionStored] = float64(c.Stored)
		values[name+CollectionIndexes] = float64(c.Indexes)
	}
	return values
}
