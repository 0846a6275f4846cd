package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/rawdoc"
)

// checkRecords checks the records of the catalogue against cat, the published version, and the
// retry records.
func checkRecords(ctx context.Context, v view, cat *Catalog, r *CheckReport) error {
	last, err := checkCounter(v, r)
	if err != nil {
		return err
	}
	owners := map[uint32]bool{}
	names := map[string]bool{}
	err = eachKey(ctx, v, spaceCatalog, r, func(key, value []byte) {
		bad := func(format string, args ...any) {
			r.add(Problem{Kind: BadCatalogue, Key: key, Detail: fmt.Sprintf(format, args...)})
		}
		if len(key) != prefixLen {
			bad("a key of %d bytes", len(key))
			return
		}
		id, _ := numberOf(key)
		c, err := unmarshalCollection(id, value, nil)
		if err != nil {
			bad("%v", err)
			return
		}
		if names[c.Namespace()] {
			bad("a second collection %s", c.Namespace())
		}
		names[c.Namespace()] = true
		if published := cat.byID[id]; published == nil {
			bad("%s is not in use", c.Namespace())
		} else if record, err := published.marshal(); err != nil || !bytes.Equal(record, value) {
			bad("%s is not as it is in use", c.Namespace())
		}
		for _, number := range c.numbers() {
			if owners[number] {
				bad("%s: the number %d is used twice", c.Namespace(), number)
			}
			if number > last {
				bad("%s: the number %d has not been given out yet", c.Namespace(), number)
			}
			owners[number] = true
		}
	})
	if err != nil {
		return err
	}
	for id, c := range cat.byID {
		if !owners[id] {
			r.add(Problem{Kind: BadCatalogue, Key: prefixOf(spaceCatalog, id),
				Detail: c.Namespace() + " has no record"})
		}
	}
	err = eachKey(ctx, v, spaceRetry, r, func(key, value []byte) {
		bad := func(err error) { r.add(Problem{Kind: BadSession, Key: key[1:], Detail: err.Error()}) }
		if len(key) != 1+len(RetryKey{}) {
			bad(fmt.Errorf("an id of %d bytes", len(key)-1))
			return
		}
		var record RetryRecord
		if err := rawdoc.Validate(value); err != nil {
			bad(err)
		} else if err := bson.Unmarshal(value, &record); err != nil {
			bad(err)
		}
	})
	if err != nil {
		return err
	}
	return checkKeys(ctx, v, owners, r)
}

// numbers are those of the collection and its indexes.
func (c *Collection) numbers() []uint32 {
	out := []uint32{c.id}
	for _, ix := range c.Indexes {
		out = append(out, ix.id)
	}
	return out
}

// checkCounter returns the last number that was given out.
func checkCounter(v view, r *CheckReport) (uint32, error) {
	value, release, err := v.get(keyNumbers)
	if errors.Is(err, errNotFound) {
		return 0, nil
	}
	if err != nil {
		r.add(Problem{Kind: Unreadable, Key: keyNumbers, Detail: err.Error()})
		return 0, nil
	}
	var n counter
	if err := n.unmarshal(value); err != nil {
		r.add(Problem{Kind: BadCatalogue, Key: keyNumbers, Detail: err.Error()})
	}
	return n.last.Load(), release.Close()
}

// eachKey calls f for each key of a space.
func eachKey(ctx context.Context, v view, space byte, r *CheckReport, f func(key, value []byte)) error {
	for lower, upper := []byte{space}, []byte{space + 1}; lower != nil; {
		s, err := v.scan(lower, upper, false)
		var failed error
		if err == nil {
			for n := 0; s.next(); n++ {
				if n%checkEvery == 0 && ctx.Err() != nil {
					return errors.Join(ctx.Err(), s.close())
				}
				var value []byte
				lower = append(clone(s.key()), 0)
				if value, failed = s.value(); failed != nil {
					break
				}
				f(s.key(), value)
			}
			err = s.close()
		}
		switch {
		case failed != nil:
			r.add(Problem{Kind: Unreadable, Key: lower[:len(lower)-1], Detail: firstLine(failed)})
		case err != nil:
			if lower, err = r.skip(ctx, v, lower, upper, err); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

// skip reports that keys from lower on cannot be read, and returns the first that can.
func (r *CheckReport) skip(ctx context.Context, v view, lower, upper []byte, cause error) (next []byte, err error) {
	if next, err = firstReadable(ctx, v, lower, upper); err == nil {
		r.add(Problem{Kind: Unreadable, Range: true, Key: lower, Next: next, Detail: firstLine(cause)})
	}
	return next, err
}

// checkKeys looks for keys that belong to nothing, a step for each numbered prefix.
func checkKeys(ctx context.Context, v view, owners map[uint32]bool, r *CheckReport) error {
	first := func(lower []byte) ([]byte, error) {
		s, err := v.scan(lower, nil, false)
		if err != nil {
			return nil, err
		}
		var key []byte
		if s.next() {
			key = clone(s.key())
		}
		return key, s.close()
	}
	var lower []byte
	for ctx.Err() == nil {
		key, err := first(lower)
		if err != nil {
			if key, err = r.skip(ctx, v, lower, []byte{0xff}, err); err != nil {
				return err
			}
		}
		if key == nil {
			return nil
		}
		space := byte(0)
		if len(key) > 0 {
			space = key[0]
		}
		switch space {
		case spaceMeta:
			if !bytes.Equal(key, keyNumbers) && !bytes.Equal(key, keyGarbage) {
				r.add(Problem{Kind: UnknownKey, Key: key})
			}
			lower = append(key, 0)
		case spaceCatalog, spaceRetry:
			lower = []byte{space + 1}
		case spaceDoc, spaceIndex, spaceMulti:
			number, err := numberOf(key)
			if err != nil {
				r.add(Problem{Kind: UnknownKey, Key: key, Detail: err.Error()})
				lower = append(key, 0)
				continue
			}
			if !owners[number] {
				r.Leftovers++
			}
			lower = successor(prefixOf(space, number))
		default:
			r.add(Problem{Kind: UnknownKey, Key: key})
			lower = append(key, 0)
		}
	}
	return ctx.Err()
}
