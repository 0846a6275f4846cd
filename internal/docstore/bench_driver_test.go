package docstore_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/docstore"
	"gadwall/internal/docstore/wire"
)

// openOnDisk opens an empty database on the disk.
func openOnDisk(b *testing.B) (*docstore.Server, *mongo.Client) {
	b.Helper()
	s := must(docstore.Open(docstore.Options{Dir: b.TempDir()}))(b)
	return s, must(mongo.Connect(s.ClientOptions()))(b)
}

// cannedDialer opens connections to a server that sends the same reply to every find and every
// insert. All else goes to the real server.
type cannedDialer struct {
	server *docstore.Server
	reply  map[string][]byte
}

func (d cannedDialer) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	real, err := d.server.Dial(ctx)
	if err != nil {
		return nil, err
	}
	client, end := net.Pipe()
	go func() {
		defer end.Close()
		defer real.Close()
		d.serve(bufio.NewReaderSize(end, 16<<10), end, real)
	}()
	return client, nil
}

func (d cannedDialer) serve(r *bufio.Reader, w io.Writer, real net.Conn) {
	for {
		request, err := readMessage(r)
		if err != nil {
			return // the client has gone
		}
		reply := d.reply[commandOf(request)]
		if reply == nil {
			if _, err := real.Write(request); err != nil {
				return
			}
			if reply, err = readMessage(real); err != nil {
				return
			}
		}
		copy(reply[8:12], request[4:8]) // responseTo: the request's id
		if _, err := w.Write(reply); err != nil {
			return
		}
	}
}

func readMessage(r io.Reader) ([]byte, error) {
	head := make([]byte, 16)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	message := append(head, make([]byte, binary.LittleEndian.Uint32(head)-16)...)
	_, err := io.ReadFull(r, message[16:])
	return message, err
}

// commandOf is the name of the first element of the body, if that is the first section.
func commandOf(message []byte) string {
	const start = 16 + 4 + 1 + 4 + 1 // header, flags, section kind, length, type
	if int32(binary.LittleEndian.Uint32(message[12:])) != wire.OpMsg || message[20] != 0 || len(message) < start {
		return ""
	}
	end := start
	for end < len(message) && message[end] != 0 {
		end++
	}
	return string(message[start:end])
}

// BenchmarkDriver is what the driver costs by itself: the replies are made already.
func BenchmarkDriver(b *testing.B) {
	s, real := openOnDisk(b)
	defer closeAll(b, s, real)
	marshal := func(v any) []byte {
		body := must(bson.Marshal(v))(b)
		return wire.AppendReply(nil, 1, 0, false, body)
	}
	doc := d("_id", 1, "pad", make([]byte, 1000))
	canned := cannedDialer{server: s, reply: map[string][]byte{
		"find":   marshal(d("cursor", d("firstBatch", A{doc}, "id", int64(0), "ns", "d.c"), "ok", 1.0)),
		"insert": marshal(d("n", 1, "ok", 1.0)),
	}}
	client := must(mongo.Connect(s.ClientOptions(), options.Client().SetDialer(canned)))(b)
	defer func() { must(0, client.Disconnect(context.Background()))(b) }()
	c := client.Database("d").Collection("c")
	b.Run("find", func(b *testing.B) {
		eachClients(b, func(b *testing.B, clients int) {
			measure(b, clients, 1, "finds", func(i int) error {
				return c.FindOne(context.Background(), d("_id", bson.Binary{Data: messageKey(i)})).Err()
			})
		})
	})
	b.Run("insert", func(b *testing.B) {
		eachClients(b, func(b *testing.B, clients int) {
			measure(b, clients, 1, "docs", func(int) error {
				_, err := c.InsertOne(context.Background(), doc)
				return err
			})
		})
	})
}
