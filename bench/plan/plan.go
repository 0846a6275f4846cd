package plan

import (
	"errors"
	"maps"
	"slices"
)

// Load is what users do. Shares are between 0 and 1.
type Load struct {
	Users       float64
	MailsPerDay float64 // that each user gets
	MailSize    float64 // bytes; 0 is that of the measurement
	Duplicates  float64 // share of attachments that were there before
	Retention   float64 // days that a mail stays
	Active      float64 // share of the users who have a session at the peak
}

// Check returns what is wrong with a load.
func (l Load) Check() error {
	switch {
	case !(l.Users >= 1) || !(l.MailsPerDay > 0) || !(l.Retention > 0) || l.MailSize < 0:
		return errors.New("users, mails a day, their size and the retention are greater than 0")
	case !(l.Duplicates >= 0 && l.Duplicates <= 1) || !(l.Active >= 0 && l.Active <= 1):
		return errors.New("duplicates and active users are between 0 and 100 %")
	}
	return nil
}

// Hardware is what one machine of each kind offers, and how the caller builds with them.
type Hardware struct {
	Replicas float64 // members of a replica set
	Disk     float64 // bytes of each
	Memory   float64 // bytes of each
	Cores    float64 // of an instance
	Database Database
}

// Check returns what is wrong with the machines.
func (h Hardware) Check() error {
	if !(h.Replicas >= 1) || !(h.Disk > 0) || !(h.Memory > 0) || !(h.Cores > 0) {
		return errors.New("replicas, disk, memory and processors are greater than 0")
	}
	return h.Database.Check()
}

// Assumptions are what no measurement tells. A plan prints them.
const (
	// peakFactor is the mails a second of the busiest hour over those of the day.
	peakFactor = 4
	// diskFill is how full a disk may be, utilisation how busy processors and writers.
	diskFill, utilisation = 0.7, 0.5
	// writtenTwice: a database writes a document into its journal, and then into its table.
	writtenTwice = 2
	// sessionBytes is what a session takes at most (docs/operations.md).
	sessionBytes = 30 << 10
	// leastInstances: one may fail.
	leastInstances = 2
	secondsPerDay  = 86400
)

// requests are what a user with a session asks for in an hour, by workload.
var requests = map[string]float64{
	"login": 2, "select": 6, "status": 30, "fetch flags": 6, "fetch envelope": 2, "fetch header": 1,
	"fetch whole": 20, "fetch slice": 4, "store one": 20, "search unseen": 2, "search from": 1,
}

// Unit says how an item is written.
type Unit int

// The units.
const (
	Number Unit = iota
	Bytes
	PerSecond
	BytesPerSecond
)

// Item is one line of a plan.
type Item struct {
	Name    string
	Value   Figure
	Unit    Unit
	Formula string
}

// Plan is what an installation needs.
type Plan struct {
	Items []Item
	// ReplicaSets is how many the load needs: more than one are cells, or the shards of a cluster.
	ReplicaSets Figure
	Load        Load
	Hardware    Hardware
	// Unmeasured names requests of which the lines have no processor time.
	Unmeasured []string
}

// Plan works out what a load needs.
func (c *Constants) Plan(l Load, h Hardware) *Plan {
	p := &Plan{Load: l, Hardware: h}
	add := func(name string, unit Unit, value Figure, formula string) Figure {
		p.Items = append(p.Items, Item{name, value, unit, formula})
		return value
	}
	if c.AsFound {
		l.Duplicates = 0
	}
	users := Exactly(l.Users)
	size := c.MailSize
	if l.MailSize > 0 {
		size = Exactly(l.MailSize)
	}
	kept := add("mails kept", Number, Exactly(l.Users*l.MailsPerDay*l.Retention), "users x mails/day x days")
	add("bytes received in them", Bytes, kept.Times(size), "mails kept x size")
	mail := add("one mail on disk", Bytes, c.mailOnDisk(size, l.Duplicates),
		"size x ((1 - attachments) x text + attachments x (1 - duplicates) x file) + overhead")
	database := c.database(h.Database)
	inTables := add("one mail in tables", Bytes, mail.Times(database.TableFactor),
		"one mail on disk x table factor of MongoDB")
	inOplog := add("one mail in the oplog", Bytes, mail.Times(database.OplogFactor), "one mail on disk x oplog factor")
	once := add("disk, one copy", Bytes, kept.Times(inTables), "mails kept x one mail in tables")

	average := Exactly(l.Users * l.MailsPerDay / secondsPerDay)
	add("mails a second, mean", PerSecond, average, "users x mails/day / 86400")
	peak := add("mails a second, peak", PerSecond, average.Times(Exactly(peakFactor)), "mean x peak factor")
	add("disk writes at the peak", BytesPerSecond, peak.Times(inTables.Plus(inOplog)).Times(Exactly(writtenTwice)),
		"mails/s x (one mail in tables + in the oplog) x 2 (journal, table)")
	add("network to the other members, peak", BytesPerSecond, peak.Times(inOplog).Times(Exactly(h.Replicas-1)),
		"mails/s x one mail in the oplog x (replicas - 1)")
	oplog := add("oplog", Bytes, average.Times(inOplog).Times(Exactly(database.OplogHours*3600)),
		"mean mails/s x one mail in the oplog x hours of the oplog")
	member := add("disk of a member, all users", Bytes, once.Plus(oplog).Per(Exactly(diskFill)),
		"(one copy + oplog) / 0.7")
	add("disk of all members", Bytes, member.Times(Exactly(h.Replicas)), "member x replicas")
	add("transactions a second, deliveries", PerSecond, peak.Times(c.Transactions),
		"mails/s x transactions of a delivery")
	add("database commands a second, deliveries", PerSecond, peak.Times(c.Commands),
		"mails/s x commands of a delivery")

	sessions := add("sessions at the peak", Number, users.Times(Exactly(l.Active)), "users x active")
	perHour := 0.0
	for _, n := range requests {
		perHour += n
	}
	add("requests a second", PerSecond, sessions.Times(Exactly(perHour/3600)), "sessions x requests of an hour / 3600")
	cores := add("processors of all instances", Number, c.cores(p, peak, sessions),
		"(mails/s x CPU of a delivery + sum of requests/s x CPU of each) / 0.5")
	instances := add("instances", Number,
		cores.Per(Exactly(h.Cores)).Whole().Most(Exactly(leastInstances)),
		"processors / those of an instance, at least 2")
	add("memory of an instance", Bytes, c.Resident.Plus(sessions.Per(instances).Times(Exactly(sessionBytes))),
		"server after deliveries + sessions / instances x 30 KiB")

	hot := add("working set of the database", Bytes, c.workingSet(l, kept, mail).Times(database.CacheFactor),
		"(active x mails kept x (document + indexes) + mails kept x indexes by hash + "+
			"a day's mails x one mail on disk) x cache factor")
	published := add("Redis, messages in a second", PerSecond,
		peak.Plus(sessions.Times(Exactly(requests["store one"]/3600))), "mails/s + changes/s; it keeps nothing")
	add("Redis, messages out a second", PerSecond, published.Times(instances), "in x instances, at most")

	byDisk := add("replica sets by disk", Number, member.Per(Exactly(h.Disk)).Whole(),
		"disk of a member, all users / its disk")
	byMemory := add("replica sets by memory", Number, hot.Per(Exactly(h.cache())).Whole(),
		"working set / ((memory - 1 GiB) x cache share)")
	byWrites := add("replica sets by writes", Number, peak.Per(c.Deliveries.Times(Exactly(utilisation))).Whole(),
		"peak mails/s / (deliveries/s of the measured machine x 0.5)")
	p.ReplicaSets = add("replica sets", Number, byDisk.Most(byMemory).Most(byWrites), "the most of the three")
	add("users of each", Number, users.Per(p.ReplicaSets), "users / replica sets")
	return p
}

// database replaces the factors that were measured.
func (c *Constants) database(d Database) Database {
	if c.MongoDB {
		d.TableFactor = Exactly(1)
	}
	if c.OplogPerMail.Known {
		d.OplogFactor = c.OplogPerMail.Per(c.StoredPerMail)
	}
	return d
}

// mailOnDisk is what a mail takes. The proportions of text and attachments are those measured.
func (c *Constants) mailOnDisk(size Figure, duplicates float64) Figure {
	one := Exactly(1)
	texts := Figure{Low: one.Low - c.FileShare.High, Value: one.Value - c.FileShare.Value,
		High: one.High - c.FileShare.Low, Known: c.FileShare.Known, Bounded: c.FileShare.Bounded}
	bytes := texts.Times(c.TextBytes)
	if c.FileShare.High > 0 {
		bytes = bytes.Plus(c.FileShare.Times(c.FileBytes).Times(Exactly(1 - duplicates)))
	}
	return size.Times(bytes).Plus(c.Overhead)
}

// cores adds up the processor time of a second.
func (c *Constants) cores(p *Plan, peak, sessions Figure) Figure {
	sum := peak.Times(c.CPU[delivery])
	if !c.CPU[delivery].Known {
		p.Unmeasured = append(p.Unmeasured, delivery)
	}
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		cpu := c.CPU[name]
		if !cpu.Known {
			p.Unmeasured = append(p.Unmeasured, name)
			continue
		}
		sum = sum.Plus(sessions.Times(Exactly(requests[name] / 3600)).Times(cpu))
	}
	return sum.Per(Exactly(1000 * utilisation)) // ms
}

func (c *Constants) workingSet(l Load, kept, mail Figure) Figure {
	lists := kept.Times(Exactly(l.Active)).Times(c.MessageBytes.Plus(c.IndexBytes))
	today := Exactly(l.Users * l.MailsPerDay * min(1, l.Retention)).Times(mail)
	return lists.Plus(kept.Times(c.ByHashBytes)).Plus(today)
}
