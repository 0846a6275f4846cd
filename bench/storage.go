package bench

import (
	"fmt"
	"io"
	"text/tabwriter"

	"gadwall/internal/database"
)

// WriteCollections writes a line per collection, and a line for the rest of the data directory;
// directory is its size, 0 if unknown.
func WriteCollections(w io.Writer, list []database.CollectionSpace, directory int64) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "collection\tdocuments\tbytes\tstored bytes\tindexes\t")
	var all database.CollectionSpace
	for _, c := range list {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t\n", c.Name, c.Documents, c.Bytes, c.Stored, c.Indexes)
		all.Documents += c.Documents
		all.Bytes += c.Bytes
		all.Stored += c.Stored
		all.Indexes += c.Indexes
	}
	fmt.Fprintf(t, "all collections\t%d\t%d\t%d\t%d\t\n", all.Documents, all.Bytes, all.Stored, all.Indexes)
	if directory > 0 {
		// Estimates of small collections are a block too large.
		fmt.Fprintf(t, "logs and all else\t\t\t%d\t\t\n", max(0, directory-all.Stored-all.Indexes))
	}
	return t.Flush()
}
