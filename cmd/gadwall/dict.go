package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"gadwall/internal/contents"
	"gadwall/internal/dictionary"
	"gadwall/internal/node"
)

type dictCmd struct {
	Train dictTrainCmd `cmd:"" help:"Train compression dictionaries on the mail that is stored, for new mail."`
	List  dictListCmd  `cmd:"" help:"List the dictionaries that were trained."`
}

// dictSettings are the flags of every dict command.
type dictSettings struct{ storageSettings }

func (c *dictSettings) withContents(std streams, f func(context.Context, *contents.Store) error) error {
	return c.withStorage(std, node.Sharing,
		func(ctx context.Context, s *node.Node) error { return f(ctx, s.Contents) })
}

// dictTrainCmd trains a dictionary of every kind on half of a sample, and compares it with the
// current one on the other half. It keeps the better one.
type dictTrainCmd struct {
	dictSettings
	Gain   float64 `default:"2" help:"Keep a dictionary if it saves at least so many percent."`
	DryRun bool    `help:"Keep none: only say what they would save."`
}

func (c *dictTrainCmd) Run(std streams) error {
	return c.withContents(std, func(ctx context.Context, store *contents.Store) error {
		progress := startProgress(std, "reading mail", "", 0)
		samples, err := store.Sample(ctx, 2*dictionary.SampleBytes)
		progress.end()
		if err != nil {
			return err
		}
		current := store.Dictionaries().Current(ctx)
		t := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "KIND\tSAMPLES\tBYTES\tCURRENT\tTRAINED\tSAVED\t")
		for kind := range dictionary.Kind(dictionary.Kinds) {
			progress := startProgress(std, "training for "+kind.String(), "", 0)
			err := c.train(ctx, t, store.Dictionaries(), kind, current[kind], samples[kind])
			progress.end()
			if err != nil {
				return errors.Join(err, t.Flush())
			}
			samples[kind] = nil // it may be large
		}
		return t.Flush()
	})
}

func (c *dictTrainCmd) train(ctx context.Context, t *tabwriter.Writer, set *dictionary.Set,
	kind dictionary.Kind, current *dictionary.Dictionary, samples [][]byte) error {
	var training, trial [][]byte
	size, usable := 0, 0
	for i, s := range samples {
		if len(s) >= dictionary.MinSample {
			usable++
		}
		if size += len(s); i%2 == 0 {
			training = append(training, s)
		} else {
			trial = append(trial, s)
		}
	}
	trained, err := dictionary.Train(kind, dictionary.NewID(), training)
	if errors.Is(err, dictionary.ErrFewSamples) {
		// Only half of the samples train.
		fmt.Fprintf(t, "%v\t%d\t%d\t-\t-\ttoo little mail: there are %d samples, %d are needed\t\n",
			kind, len(samples), size, usable, 2*dictionary.MinSamples)
		return nil
	}
	if err != nil {
		return err
	}
	before, err := current.CompressedSize(trial)
	if err != nil {
		return err
	}
	after, err := trained.CompressedSize(trial)
	if err != nil {
		return err
	}
	saved := 100 * (1 - float64(after)/float64(before))
	verdict := fmt.Sprintf("%.1f %%", saved)
	switch {
	case saved < c.Gain:
		verdict += ": not kept"
	case !c.DryRun:
		if err := set.Add(ctx, trained, training); err != nil {
			return err
		}
		verdict += fmt.Sprintf(": kept as %d", trained.ID())
	}
	fmt.Fprintf(t, "%v\t%d\t%d\t%d\t%d\t%s\t\n", kind, len(samples), size, before, after, verdict)
	return nil
}

type dictListCmd struct {
	dictSettings
	JSON bool `name:"json" help:"Print a JSON object per line."`
}

// listedDictionary is a line of dict list --json.
type listedDictionary struct {
	ID          int       `json:"id"`
	Kind        string    `json:"kind"`
	Size        int       `json:"size"`
	Trained     time.Time `json:"trained"`
	Samples     int64     `json:"samples"`
	SampleBytes int64     `json:"sampleBytes"`
}

func (c *dictListCmd) Run(std streams) error {
	return c.withContents(std, func(ctx context.Context, store *contents.Store) error {
		list, err := store.Dictionaries().List(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			encoder := json.NewEncoder(std.out)
			for _, d := range list {
				if err := encoder.Encode(listedDictionary{int(d.ID), d.Kind.String(), d.Size, d.Created,
					d.Samples, d.SampleBytes}); err != nil {
					return err
				}
			}
			return nil
		}
		t := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "ID\tKIND\tSIZE\tTRAINED\tSAMPLES\tBYTES\t")
		for _, d := range list {
			fmt.Fprintf(t, "%d\t%v\t%d\t%s\t%d\t%d\t\n", d.ID, d.Kind, d.Size,
				d.Created.UTC().Format(time.RFC3339), d.Samples, d.SampleBytes)
		}
		return t.Flush()
	})
}
