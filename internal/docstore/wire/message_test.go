package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"reflect"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func doc(t testing.TB, d bson.D) []byte {
	t.Helper()
	b, err := bson.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// message frames a payload.
func message(op int32, payload ...[]byte) []byte {
	b := make([]byte, headerSize)
	for _, p := range payload {
		b = append(b, p...)
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	binary.LittleEndian.PutUint32(b[4:], 42)
	binary.LittleEndian.PutUint32(b[12:], uint32(op))
	return b
}

func flags(f uint32) []byte { return binary.LittleEndian.AppendUint32(nil, f) }

func body(d []byte) []byte { return append([]byte{0}, d...) }

func sequence(name string, docs ...[]byte) []byte {
	b := append([]byte(name), 0)
	for _, d := range docs {
		b = append(b, d...)
	}
	return append(append([]byte{1}, flags(uint32(len(b)+4))...), b...)
}

func withChecksum(m []byte) []byte {
	binary.LittleEndian.PutUint32(m, uint32(len(m)+4))
	return binary.LittleEndian.AppendUint32(m, crc32.Checksum(m, castagnoli))
}

func TestRead(t *testing.T) {
	cmd := doc(t, bson.D{{Key: "insert", Value: "c"}})
	one, two := doc(t, bson.D{{Key: "_id", Value: 1}}), doc(t, bson.D{{Key: "_id", Value: 2}})
	query := func(ns string, rest ...[]byte) []byte {
		p := append(append(flags(0), ns...), 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff)
		return message(OpQuery, append([][]byte{p}, rest...)...)
	}
	for _, tc := range []struct {
		name string
		in   []byte
		docs int // in the only sequence
		bad  bool
	}{
		{"body", message(OpMsg, flags(0), body(cmd)), 0, false},
		{"sequence", message(OpMsg, flags(0), body(cmd), sequence("documents", one, two)), 2, false},
		{"sequence first", message(OpMsg, flags(FlagMoreToCome), sequence("documents", one), body(cmd)), 1, false},
		{"exhaust allowed", message(OpMsg, flags(FlagExhaustAllowed), body(cmd)), 0, false},
		{"checksum", withChecksum(message(OpMsg, flags(FlagChecksum), body(cmd))), 0, false},
		{"query", query("admin.$cmd", cmd), 0, false},
		{"query with selector", query("admin.$cmd", cmd, one), 0, false},

		{"wrong checksum", append(withChecksum(message(OpMsg, flags(FlagChecksum),
			body(cmd)))[:16+4+1+len(cmd)], 1, 2, 3, 4), 0, true},
		{"unknown flag", message(OpMsg, flags(1<<5), body(cmd)), 0, true},
		{"no body", message(OpMsg, flags(0), sequence("documents", one)), 0, true},
		{"two bodies", message(OpMsg, flags(0), body(cmd), body(cmd)), 0, true},
		{"unknown section", message(OpMsg, flags(0), body(cmd), []byte{7}), 0, true},
		{"same sequence twice", message(OpMsg, flags(0), body(cmd), sequence("d", one), sequence("d", one)), 0, true},
		{"document beyond the end", message(OpMsg, flags(0), body(cmd[:len(cmd)-1])), 0, true},
		{"bad document", message(OpMsg, flags(0), body([]byte("\x08\x00\x00\x00\x10a\x00\x00"))), 0, true},
		{"unknown operation", message(2012, cmd), 0, true},
		{"bytes after a query", query("admin.$cmd", cmd, one, []byte{0}), 0, true},
		{"too long", []byte("\xff\xff\xff\x7f\x00\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00"), 0, true},
		{"too short", []byte("\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00"), 0, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, err := Read(bytes.NewReader(tc.in))
			if tc.bad {
				var bad *ProtocolError
				if !errors.As(err, &bad) {
					t.Fatalf("read with error %v, want a ProtocolError", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.RequestID != 42 || !bytes.Equal(m.Body, cmd) {
				t.Errorf("request %d, body %v", m.RequestID, m.Body)
			}
			if tc.docs > 0 && (len(m.Sequences) != 1 || len(m.Sequences[0].Docs) != tc.docs) {
				t.Errorf("sequences %v", m.Sequences)
			}
			m.Release()
		})
	}
}

func TestReadCutShort(t *testing.T) {
	whole := message(OpMsg, flags(0), body(doc(t, bson.D{{Key: "ping", Value: 1}})))
	for n := range whole {
		_, err := Read(bytes.NewReader(whole[:n]))
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if !errors.Is(err, want) {
			t.Errorf("%d bytes: %v, want %v", n, err, want)
		}
	}
}

func TestAppendReply(t *testing.T) {
	reply := bson.Raw(doc(t, bson.D{{Key: "ok", Value: 1.0}}))
	b := AppendReply([]byte("before"), 7, 42, false, reply)[len("before"):]
	m, err := Read(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if m.RequestID != 7 || binary.LittleEndian.Uint32(b[8:]) != 42 || !bytes.Equal(m.Body, reply) {
		t.Errorf("got %x", b)
	}
	b = AppendReply(nil, 7, 42, true, reply)
	if int(binary.LittleEndian.Uint32(b)) != len(b) || !bytes.HasSuffix(b, reply) || len(b) != 36+len(reply) {
		t.Errorf("legacy reply %x", b)
	}
}

// Whatever arrives is refused or read into documents that hold together.
func FuzzRead(f *testing.F) {
	cmd := doc(f, bson.D{{Key: "insert", Value: "c"}, {Key: "a", Value: bson.A{1, "x", bson.D{}}}})
	f.Add(message(OpMsg, flags(0), body(cmd), sequence("documents", cmd, cmd)))
	f.Add(withChecksum(message(OpMsg, flags(FlagChecksum), body(cmd))))
	f.Add(message(OpQuery, flags(0), []byte("admin.$cmd\x00\x00\x00\x00\x00\x01\x00\x00\x00"), cmd))
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := Read(bytes.NewReader(in))
		message, rest, failed := Split(in)
		if message != nil {
			Peek(message, "autocommit")
			var same *Message
			if same, failed = Parse(message); failed == nil && (err != nil || !sameMessage(m, same) ||
				len(message)+len(rest) != len(in)) {
				t.Fatalf("%x is %v when read, %v, and %v in place", in, m, err, same)
			}
		}
		if err != nil {
			if message != nil && failed == nil {
				t.Fatalf("%x is refused when read only: %v", in, err)
			}
			return
		}
		if message == nil || failed != nil {
			t.Fatalf("%x is refused in place only: %v", in, failed)
		}
		docs := []bson.Raw{m.Body}
		for _, s := range m.Sequences {
			docs = append(docs, s.Docs...)
		}
		for _, d := range docs {
			if err := d.Validate(); err != nil {
				t.Fatalf("%x was let through: %v", []byte(d), err)
			}
		}
		m.Release()
	})
}

func sameMessage(a, b *Message) bool {
	without := func(m *Message) Message {
		c := *m
		c.buf = nil
		return c
	}
	return reflect.DeepEqual(without(a), without(b))
}

func TestPeek(t *testing.T) {
	plain, in := doc(t, bson.D{{Key: "find", Value: "c"}, {Key: "a", Value: 1}}),
		doc(t, bson.D{{Key: "update", Value: "c"}, {Key: "autocommit", Value: false}})
	for _, tc := range []struct {
		name    string
		message []byte
		command string
		has     bool
	}{
		{"plain", message(OpMsg, flags(0), body(plain)), "find", false},
		{"field", message(OpMsg, flags(0), body(in), sequence("x", plain)), "update", true},
		{"sequence first", message(OpMsg, flags(0), sequence("x", plain), body(in)), "", false},
		{"query", message(OpQuery, flags(0), body(in)), "", false},
		{"cut", message(OpMsg, flags(0)), "", false},
		{"broken", message(OpMsg, flags(0), body(in[:10])), "", false},
	} {
		if name, has := Peek(tc.message, "autocommit"); string(name) != tc.command || has != tc.has {
			t.Errorf("%s: %q, %t", tc.name, name, has)
		}
	}
}
