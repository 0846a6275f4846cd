package dictionary

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/klauspost/compress/dict"
	"github.com/klauspost/compress/zstd"
)

const (
	// TrainedSize is the size of the contents of a dictionary in bytes. Four times as much gains
	// little.
	TrainedSize = 32 << 10

	// SampleBytes bounds the mail of a kind that Train uses: training takes about 50 times as much
	// memory.
	SampleBytes = 4 << 20

	// MinSamples is the least number of samples. Fewer samples have strings in common by chance.
	MinSamples = 200

	// MinSample is the least size of a sample that Train uses, in bytes.
	MinSample = 8
)

// ErrFewSamples reports less mail than a dictionary can be trained with.
var ErrFewSamples = errors.New("too little mail to train a dictionary")

// NewID returns an ID for a trained dictionary.
func NewID() ID { return ID(firstTrained + rand.IntN(lastTrained-firstTrained)) }

// Train makes a dictionary of the strings that samples have in common. Each sample is one frame.
func Train(kind Kind, id ID, samples [][]byte) (*Dictionary, error) {
	var used [][]byte
	total := 0
	for _, s := range samples {
		if len(s) >= MinSample && total < SampleBytes {
			used = append(used, s)
			total += len(s)
		}
	}
	if len(used) < MinSamples {
		return nil, fmt.Errorf("%w: %d samples of %v, at least %d", ErrFewSamples, len(used), kind, MinSamples)
	}
	data, err := dict.BuildZstdDict(used, dict.Options{
		MaxDictSize: TrainedSize,
		HashBytes:   8, // measured: better than 6 for headers, equal for text
		ZstdDictID:  uint32(id),
		ZstdLevel:   zstd.SpeedFastest,
	})
	if err != nil {
		return nil, fmt.Errorf("train a dictionary for %v: %w", kind, err)
	}
	return New(kind, data)
}

// CompressedSize returns how many bytes frames take with d in sum: to compare dictionaries.
func (d *Dictionary) CompressedSize(frames [][]byte) (int64, error) {
	var sum int64
	var buf []byte
	for _, f := range frames {
		var err error
		if buf, err = d.Compress(buf[:0], f); err != nil {
			return 0, err
		}
		sum += int64(min(len(buf), len(f)))
	}
	return sum, nil
}
