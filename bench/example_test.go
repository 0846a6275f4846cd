package bench_test

import (
	"fmt"
	"log"

	"gadwall/bench"
	"gadwall/mimestream"
)

// A corpus is the same for the same seed, on every machine. A mail can be made without those before
// it.
func ExampleCorpus() {
	one := bench.NewCorpus(bench.CorpusOptions{Seed: bench.MeasureSeed})
	other := bench.NewCorpus(bench.CorpusOptions{Seed: bench.MeasureSeed})
	a, b := one.Message(1_000_000), other.Message(1_000_000)
	fmt.Println(string(a.Raw) == string(b.Raw), a.From == b.From)

	root := mimestream.Parse(a.Raw)
	_, ok := root.Header.Get("message-id")
	fmt.Println(root.IsMessage(), ok)
	// Output:
	// true true
	// true true
}

// A Floor estimates the least space that mails can take.
func ExampleFloor() {
	corpus := bench.NewCorpus(bench.CorpusOptions{Seed: 1, NoFiles: true})
	floor, err := bench.NewFloor()
	if err != nil {
		log.Fatal(err)
	}
	received := 0
	for n := range 100 {
		raw := corpus.Message(n).Raw
		received += len(raw)
		if err := floor.Add(raw); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("less than half:", floor.Size < int64(received)/2)
	// Output: less than half: true
}
