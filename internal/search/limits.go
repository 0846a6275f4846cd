package search

import (
	"errors"
	"fmt"
)

// Limits of a search. What goes beyond the first four is refused.
const (
	// MaxDepth bounds the nesting of Not, Any and All. The database's own bound
	// on the depth of a filter is a little above three times that.
	MaxDepth = 30
	// MaxKeys bounds the keys of one search, without those that only combine
	// others.
	MaxKeys = 1000
	// maxText bounds the octets of one text to look for, normalised.
	maxText = 4 << 10
	// maxTexts bounds the sum of octets of all texts of one search.
	maxTexts = 64 << 10

	// maxFilterRanges is how many ranges of UIDs a nested set may have to
	// become part of the database's filter; a larger one is compared here.
	maxFilterRanges = 64

	// batchMessages is how many candidates share one read of contents, and
	// batchBytes the octets of text parts that are read for them at once.
	batchMessages = 128
	batchBytes    = 4 << 20
	// firstBatch is how many candidates a search reads at first that ends with its first matches.
	firstBatch = 8
	// limitedBatch is how many candidates the database then gives at a time.
	limitedBatch = 64
	// maxAtOnce is the size up to which a part is read at once to be searched;
	// a larger one is searched as it is read.
	maxAtOnce = 256 << 10
	// chunkSize is how much text is mapped and searched at a time.
	chunkSize = 32 << 10

	// turnOctets is how much of a part is searched before other searches have
	// their turn.
	turnOctets = 1 << 20

	// longSteps is how many steps over long mappings a finder remembers.
	longSteps = 256
)

// ErrTooLarge reports a search beyond the limits.
var ErrTooLarge = errors.New("search is too large")

// check reports whether the tree is within the limits. depth is that of k.
func (k *Key) check() error {
	keys, texts := 0, 0
	var visit func(k *Key, depth int) error
	visit = func(k *Key, depth int) error {
		if k.op > opNot {
			keys++
		}
		texts += len(k.text)
		switch {
		case depth > 2*MaxDepth: // MaxDepth of the protocol's, each an operator and a list
			return fmt.Errorf("%w: nested deeper than %d", ErrTooLarge, MaxDepth)
		case keys > MaxKeys:
			return fmt.Errorf("%w: more than %d keys", ErrTooLarge, MaxKeys)
		case len(k.text) > maxText || texts > maxTexts:
			return fmt.Errorf("%w: at most %d octets in a text and %d in all are possible",
				ErrTooLarge, maxText, maxTexts)
		}
		for _, kid := range k.kids {
			if err := visit(kid, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return visit(k, 0)
}
