package plan

import (
	"errors"
	"fmt"
	"strings"

	"gadwall/bench"
	"gadwall/bench/result"
)

// onMongoDB is the variant of a server on a MongoDB.
const onMongoDB = "mongodb"

// spaceWorkload is what older files call bench.FootprintWorkload.
const spaceWorkload = "space"

// Constants are what a mail and a request cost.
type Constants struct {
	Mails      float64 // of the lines of space that were used
	MailSize   Figure  // bytes of a mail
	Duplicates float64 // share of the attachments that were there before
	// AsFound says that the lines do not know Duplicates, which is 0 then: FileBytes are those of any
	// attachment, and a plan has as many duplicates as the measured mail.
	AsFound bool

	FileShare Figure // bytes of attachments in a byte of mail, as received
	TextBytes Figure // stored for a byte of headers and texts
	FileBytes Figure // stored for a byte of an attachment that was not there before; see AsFound

	Overhead      Figure // bytes of a mail on disk beside its text and attachments
	MessageBytes  Figure // of a message's document, not compressed
	IndexBytes    Figure // of the indexes of messages, for each
	ByHashBytes   Figure // of the indexes of contents and blobs, for each message
	StoredPerMail Figure // bytes on disk of a mail as it was measured
	OplogPerMail  Figure // bytes in the oplog of a mail, of a MongoDB
	MongoDB       bool   // the lines of space are of a MongoDB, not of the embedded database

	Deliveries   Figure            // a second that the machine took
	Cores        float64           // of that machine
	Resident     Figure            // bytes of memory of the server's process
	CPU          map[string]Figure // ms for one call, by name of workload and step
	Commands     Figure            // of the database, for a delivery
	Transactions Figure            // for a delivery
}

// ErrNoSpace says that lines do not have what mail takes.
var ErrNoSpace = errors.New("no line says what mail takes: add those of 'gadwall bench space --out'")

// textClasses are the classes that a mail has itself; the others are attachments.
var textClasses = []bench.Class{bench.Headers, bench.Text, bench.HTML}

// NewConstants reads constants from lines of one server. Of the lines of space it uses those with the
// most mails: in a small store, what a store has anyway would count as a cost of its mails.
func NewConstants(lines []*result.Line) (*Constants, error) {
	c := &Constants{CPU: make(map[string]Figure)}
	space, err := c.spaceLines(lines)
	if err != nil {
		return nil, err
	}
	c.space(space)
	c.server(lines)
	return c, nil
}

// spaceLines returns the lines of space that are used.
func (c *Constants) spaceLines(lines []*result.Line) (list []*result.Line, err error) {
	variant := ""
	for _, l := range lines {
		if l.Server.Name != "gadwall" || l.Params[bench.FootprintMails] <= 0 ||
			l.Workload != bench.FootprintWorkload && l.Workload != spaceWorkload ||
			l.Values[bench.FootprintReceived] <= 0 {
			continue
		}
		if len(list) > 0 && l.Server.Variant != variant {
			return nil, fmt.Errorf("lines of space are of %q and of %q: use those of one", variant, l.Server.Variant)
		}
		variant = l.Server.Variant
		c.MongoDB = variant == onMongoDB
		switch mails, dup := l.Params[bench.FootprintMails], l.Params[bench.FootprintDuplicates]/100; {
		case mails > c.Mails:
			c.Mails, c.Duplicates, list = mails, dup, []*result.Line{l}
			_, has := l.Params[bench.FootprintDuplicates]
			c.AsFound = !has
		case mails == c.Mails && dup != c.Duplicates:
			return nil, fmt.Errorf("lines of space with %g mails have %g %% and %g %% of duplicates: use those of one",
				mails, 100*c.Duplicates, 100*dup)
		case mails == c.Mails:
			list = append(list, l)
		}
	}
	if len(list) == 0 {
		return nil, ErrNoSpace
	}
	if c.Duplicates >= 1 {
		return nil, errors.New("the lines of space have no attachment that was not there before")
	}
	return list, nil
}

func (c *Constants) space(lines []*result.Line) {
	each := func(f func(*result.Line) (x float64, ok bool)) Figure {
		var values []float64
		for _, l := range lines {
			if x, ok := f(l); ok {
				values = append(values, x)
			}
		}
		return measured(values)
	}
	perMail := func(names ...string) Figure {
		return each(func(l *result.Line) (sum float64, ok bool) {
			for _, name := range names {
				x, has := l.Values[name]
				if !has {
					return 0, false
				}
				sum += x
			}
			return sum / l.Params[bench.FootprintMails], true
		})
	}
	collection := func(name, what string) string { return bench.CollectionPrefix + name + what }
	c.MailSize = perMail(bench.FootprintReceived)
	c.FileShare = each(func(l *result.Line) (float64, bool) {
		_, files := sumOf(l, bench.ClassLogical)
		return files / l.Values[bench.FootprintReceived], true
	})
	c.TextBytes = each(func(l *result.Line) (float64, bool) {
		logical, _ := sumOf(l, bench.ClassLogical)
		stored, _ := sumOf(l, bench.ClassStored)
		return stored / logical, logical > 0
	})
	c.FileBytes = each(func(l *result.Line) (float64, bool) {
		_, logical := sumOf(l, bench.ClassLogical)
		_, stored := sumOf(l, bench.ClassStored)
		return stored / logical / (1 - c.Duplicates), logical > 0
	})
	c.Overhead = each(func(l *result.Line) (float64, bool) {
		text, files := sumOf(l, bench.ClassStored)
		directory, ok := onDisk(l)
		return max(0, directory-text-files) / l.Params[bench.FootprintMails], ok
	})
	c.StoredPerMail = each(func(l *result.Line) (float64, bool) {
		directory, ok := onDisk(l)
		return directory / l.Params[bench.FootprintMails], ok
	})
	c.OplogPerMail = perMail(bench.FootprintOplog)
	c.MessageBytes = perMail(collection("messages", bench.CollectionBytes))
	c.IndexBytes = perMail(collection("messages", bench.CollectionIndexes))
	c.ByHashBytes = perMail(collection("contents", bench.CollectionIndexes),
		collection("blobs.files", bench.CollectionIndexes), collection("blobs.chunks", bench.CollectionIndexes))
}

// sumOf adds up a figure of all classes, texts and attachments apart.
func sumOf(l *result.Line, suffix string) (text, files float64) {
	for _, class := range bench.Classes {
		files += l.Values[string(class)+suffix]
	}
	for _, class := range textClasses {
		text += l.Values[string(class)+suffix]
	}
	return text, files - text
}

// onDisk is what the database takes: its directory, or without that its tables and indexes.
func onDisk(l *result.Line) (sum float64, ok bool) {
	if directory, has := l.Values[bench.FootprintDirectory]; has {
		return directory, true
	}
	for name, x := range l.Values {
		if strings.HasPrefix(name, bench.CollectionPrefix) &&
			(strings.HasSuffix(name, bench.CollectionStored) || strings.HasSuffix(name, bench.CollectionIndexes)) {
			sum += x
			ok = true
		}
	}
	return sum, ok
}

// delivery is the workload of deliveries.
const delivery = "ingest"

// server reads what the lines say of speed and memory.
func (c *Constants) server(lines []*result.Line) {
	cpu := make(map[string][]float64)
	var deliveries, resident, commands, transactions []float64
	for _, l := range lines {
		if l.Server.Name != "gadwall" || l.Errors > 0 || l.Calls == 0 {
			continue
		}
		if ms, ok := l.Values["cpu-ms-per-call"]; ok {
			cpu[l.Name()] = append(cpu[l.Name()], ms)
		}
		if l.Name() != delivery {
			continue
		}
		c.Cores = float64(l.Machine.Cores)
		deliveries = append(deliveries, l.CallsPerSecond())
		if bytes, ok := l.Values["rss-bytes"]; ok {
			resident = append(resident, bytes)
		}
		if len(l.Database) > 0 {
			all := 0.0
			for name, command := range l.Database {
				if name != result.AllCommands {
					all += command.Count
				}
			}
			commands = append(commands, all)
			transactions = append(transactions, l.Database["commitTransaction"].Count)
		}
	}
	for name, values := range cpu {
		c.CPU[name] = measured(values)
	}
	c.Deliveries, c.Resident = measured(deliveries), measured(resident)
	c.Commands, c.Transactions = measured(commands), measured(transactions)
}
