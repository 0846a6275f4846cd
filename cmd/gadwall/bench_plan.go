package main

import (
	"fmt"

	"gadwall/bench/plan"
	results "gadwall/bench/result"
	"gadwall/internal/config"
)

// benchPlanCmd works out what an installation needs.
type benchPlanCmd struct {
	Files []string `arg:"" name:"file" help:"Files of 'bench space --out' and 'bench run --out'; - is standard input."`

	Users        float64     `required:"" help:"How many users there are."`
	MailPerDay   float64     `default:"40" help:"Mails that each user gets a day."`
	MailSize     config.Size `placeholder:"SIZE" help:"Their size on average; by default that of the measured mail."`
	Dup          float64     `default:"35" help:"Attachments in a hundred that were sent before."`
	Retention    float64     `default:"1095" help:"Days that a mail stays."`
	Active       float64     `default:"10" help:"Users in a hundred who have a session at the peak."`
	Replicas     float64     `default:"3" help:"Members of a replica set."`
	Disk         config.Size `default:"8TiB" help:"Disk of a member."`
	Memory       config.Size `default:"128GiB" help:"Memory of a member."`
	Cores        float64     `default:"8" help:"Processors of an instance."`
	TableFactor  planFigure  `default:"0.9..1..1.2" placeholder:"FIGURE" help:"Bytes in tables of a MongoDB for one on the disk of the embedded database, as VALUE or LOW..VALUE..HIGH; not used for results of a MongoDB."`
	OplogFactor  planFigure  `default:"0.7..0.8..1.2" placeholder:"FIGURE" help:"Bytes in its oplog, likewise; not used if the results have the oplog."`
	OplogHours   float64     `default:"48" help:"Hours that the oplog reaches back."`
	CacheFactor  planFigure  `default:"1..1.1..1.3" placeholder:"FIGURE" help:"Memory of its cache for a byte of documents and indexes."`
	CacheShare   float64     `default:"0.5" help:"Share of the memory beyond 1 GiB that its cache has."`
	CheckAgainst []string    `name:"check" placeholder:"FILE" help:"Also forecast what this larger run measured, and say how far off that is."`
}

// planFigure is a plan.Figure of a flag.
type planFigure struct{ plan.Figure }

// UnmarshalText reads LOW..VALUE..HIGH, or a value.
func (f *planFigure) UnmarshalText(text []byte) (err error) {
	f.Figure, err = plan.ParseFigure(string(text))
	return err
}

func (c *benchPlanCmd) Run(std streams) error {
	load := plan.Load{Users: c.Users, MailsPerDay: c.MailPerDay, MailSize: float64(c.MailSize),
		Duplicates: c.Dup / 100, Retention: c.Retention, Active: c.Active / 100}
	if err := load.Check(); err != nil {
		return usageError{err}
	}
	hardware := plan.Hardware{Replicas: c.Replicas, Disk: float64(c.Disk), Memory: float64(c.Memory), Cores: c.Cores,
		Database: plan.Database{TableFactor: c.TableFactor.Figure, OplogFactor: c.OplogFactor.Figure,
			OplogHours: c.OplogHours, CacheFactor: c.CacheFactor.Figure, CacheShare: c.CacheShare}}
	if err := hardware.Check(); err != nil {
		return usageError{err}
	}
	lines, err := c.read(std, c.Files)
	if err != nil {
		return err
	}
	constants, err := plan.NewConstants(lines)
	if err != nil {
		return err
	}
	if err := constants.Plan(load, hardware).WriteText(std.out, constants); err != nil {
		return err
	}
	if len(c.CheckAgainst) == 0 {
		return nil
	}
	if lines, err = c.read(std, c.CheckAgainst); err != nil {
		return err
	}
	checked, times, err := constants.Check(lines)
	if err != nil {
		return fmt.Errorf("--check: %w", err)
	}
	fmt.Fprintln(std.out)
	return plan.WriteChecks(std.out, checked, times)
}

func (c *benchPlanCmd) read(std streams, files []string) (lines []*results.Line, err error) {
	for _, name := range files {
		some, err := readResults(name, std.in)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		lines = append(lines, some...)
	}
	return lines, nil
}
