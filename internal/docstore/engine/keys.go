package engine

import (
	"encoding/binary"
	"fmt"
)

// The key space of the Pebble database. The first byte says what a key is for.
const (
	spaceMeta    byte = 0x01 // name of a setting -> its value
	spaceCatalog byte = 0x02 // collection number -> catalogue record
	spaceDoc     byte = 0x03 // collection number | key of _id -> document
	spaceIndex   byte = 0x04 // index number | keys of the fields | key of _id -> nothing
	spaceRetry   byte = 0x05 // session id -> results of its last retryable write
	spaceMulti   byte = 0x06 // index number -> nothing; the index is multikey
)

// prefixLen is the length of a space byte and a number.
const prefixLen = 5

func appendPrefix(dst []byte, space byte, number uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, space), number)
}

func prefixOf(space byte, number uint32) []byte {
	return appendPrefix(make([]byte, 0, prefixLen), space, number)
}

// successor returns the smallest key greater than every key that begins with prefix, or nil when
// there is none. It overwrites prefix.
func successor(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			prefix[i]++
			return prefix[:i+1]
		}
	}
	return nil
}

func clone(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }

// joined returns a new slice of a followed by b.
func joined(a, b []byte) []byte {
	return append(append(make([]byte, 0, len(a)+len(b)), a...), b...)
}

// numberOf returns the number in a key of a numbered space.
func numberOf(key []byte) (uint32, error) {
	if len(key) < prefixLen {
		return 0, fmt.Errorf("key %x is too short", key)
	}
	return binary.BigEndian.Uint32(key[1:]), nil
}
