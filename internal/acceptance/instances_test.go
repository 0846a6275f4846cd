package acceptance

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/dbtest"
	"gadwall/internal/events"
	"gadwall/internal/faultnet"
	"gadwall/internal/imapconn"
)

const (
	instanceCount = 3
	// instanceActs is how many commands the clients have acknowledged in a phase that has no set
	// duration; the disturbance lasts for the middle third of them.
	instanceActs = 120
	// instanceWait bounds how long instances may take until all is as it should be again. After 20
	// seconds without a database or a kill -9 the database may keep a transaction for 90 seconds.
	instanceWait = 4 * time.Minute
	// instanceOutage is how long the database is out of reach in a phase without a set duration.
	instanceOutage = 3 * time.Second
	// outOfReach is the name of the phase in which nothing can be acknowledged for a while.
	outOfReach = "the database is out of reach"
)

// TestInstances runs three servers on one database with a real Redis. A client at each changes the
// same mailbox, and another client at each follows it by IDLE. In the end all see the same, what was
// acknowledged is so, and those who follow know it from untagged responses. This holds in quiet times,
// while Redis hangs, is away, or its connections break, after the kill -9 of an instance, and after
// an outage of the database.
//
// GADWALL_TEST_INSTANCES=60s lets the quiet phase last so long, and each disturbance a third of it.
// The instance is then killed, and the database cut off, amid commands of the clients.
func TestInstances(t *testing.T) {
	var duration time.Duration
	if v := os.Getenv("GADWALL_TEST_INSTANCES"); v != "" {
		var err error
		if duration, err = time.ParseDuration(v); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("GADWALL_TEST_SEED"); v != "" {
		if _, err := fmt.Sscan(v, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("GADWALL_TEST_SEED=%d", seed)
	d := deployInstances(t, duration)
	w := newInstanceWorld(t, d, seed)
	amid := duration > 0
	all, killed := []int{0, 1, 2}, []int{1}
	if amid {
		killed = all // they may wait for a transaction of the dead one
	}
	for _, phase := range []instancePhase{
		{name: "quiet"},
		{name: "Redis hangs",
			disturb: func() { d.redisSignal(syscall.SIGSTOP) }, heal: func() { d.redisSignal(syscall.SIGCONT) }},
		{name: "Redis is away", disturb: d.redisKill, heal: d.redisStart},
		{name: "Redis cuts its connections", disturb: d.redisCut, heal: d.redisCut},
		{name: "the way to Redis is cut",
			disturb: func() { d.toRedis.SetDown(true) }, heal: func() { d.toRedis.SetDown(false) }},
		{name: "an instance is killed", shaken: killed,
			disturb: func() { w.killInstance(1, amid) }, heal: func() {}},
		{name: outOfReach, shaken: all,
			disturb: func() { w.cutDatabase(amid) }, heal: func() { d.toDatabase.SetDown(false) }},
	} {
		begun := time.Now()
		w.act(phase)
		acted := time.Since(begun)
		w.settle()
		if w.report(); t.Failed() {
			return
		}
		t.Logf("%s: %d commands in %v, the same everywhere %v later", phase.name, w.count(),
			acted.Round(time.Millisecond), (time.Since(begun) - acted).Round(time.Millisecond))
	}
	w.end()
}

// An instancePhase disturbs the instances while clients work.
type instancePhase struct {
	name          string
	disturb, heal func() // nil in quiet times
	// shaken are the instances whose clients may lose their connections, or be refused.
	shaken []int
}

// instanceDeployment is what runs: three servers, and a Redis and a database behind networks that
// can fail.
type instanceDeployment struct {
	t                   *testing.T
	duration            time.Duration // of the quiet phase; 0: a number of commands
	servers             []*server
	redis               *exec.Cmd
	redisSocket         string
	toRedis, toDatabase *faultnet.Network
}

func deployInstances(t *testing.T, duration time.Duration) *instanceDeployment {
	tool(t, "redis-server")
	dir, err := os.MkdirTemp("", "gadwall-instances-") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &instanceDeployment{t: t, duration: duration, redisSocket: filepath.Join(dir, "redis")}
	t.Cleanup(d.redisKill)
	d.redisStart()
	way := filepath.Join(dir, "to-redis")
	d.toRedis = relay(t, "unix", way, "unix", d.redisSocket)

	uri, network, address, name := instanceDatabase(t)
	wayToDatabase := filepath.Join(dir, "database.sock")
	d.toDatabase = relay(t, "unix", wayToDatabase, network, address)
	uri.Host = "to-database" // a place for what url.URL takes for no host
	text := strings.Replace(uri.String(), uri.Host, url.PathEscape(wayToDatabase), 1)

	for range instanceCount {
		s := newServer(t, "--mongodb-uri", text, "--mongodb-database", name, "--redis-url", "unix://"+way)
		s.start(t)
		d.servers = append(d.servers, s)
	}
	d.servers[0].createUser(t, testUser, testPassword)
	return d
}

// instanceDatabase returns how to reach the database: its connection string, and where a connection
// goes. Without a MongoDB a server of its own, which nobody uses otherwise, has the embedded one.
func instanceDatabase(t *testing.T) (uri *url.URL, network, address, name string) {
	t.Helper()
	if dbtest.Embedded() {
		holder := newServer(t)
		holder.start(t)
		return &url.URL{Scheme: "mongodb", Path: "/", RawQuery: "directConnection=true"},
			"unix", filepath.Join(holder.dir, "docstore.sock"), "gadwall"
	}
	uri, err := url.Parse(os.Getenv(dbtest.URIVariable))
	if err != nil || uri.Scheme != "mongodb" {
		t.Fatalf("%s: a connection string with one host is needed (%v)", dbtest.URIVariable, err)
	}
	db := dbtest.Database(t)
	var hello struct{ Primary string }
	if err := db.RunCommand(t.Context(), bson.D{{Key: "isMaster", Value: 1}}).Decode(&hello); err != nil {
		t.Fatal(err)
	}
	if address = hello.Primary; address == "" { // a mongos
		address = uri.Host
	}
	query := uri.Query()
	query.Del("replicaSet")
	query.Set("directConnection", "true")
	uri.RawQuery = query.Encode()
	return uri, "tcp", address, db.Name()
}

// relay listens at one place and passes connections on to another, over a network that can fail.
func relay(t *testing.T, network, address, toNetwork, toAddress string) *faultnet.Network {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	n := &faultnet.Network{Dialer: &net.Dialer{}}
	var relaying sync.WaitGroup
	relaying.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := n.DialContext(t.Context(), toNetwork, toAddress)
			if err != nil {
				in.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				relaying.Go(func() {
					_, _ = io.Copy(way[0], way[1]) // either side may end it
					in.Close()
					out.Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		l.Close()
		n.SetDown(true)
		relaying.Wait()
	})
	return n
}

// redisStart returns when Redis answers.
func (d *instanceDeployment) redisStart() {
	d.t.Helper()
	d.redis = exec.Command("redis-server", "--port", "0", "--unixsocket", d.redisSocket, "--save", "",
		"--appendonly", "no", "--dir", filepath.Dir(d.redisSocket))
	if err := d.redis.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.askRedis(func(c *redis.Client) error {
		deadline := time.Now().Add(startTimeout)
		for {
			err := c.Ping(d.t.Context()).Err()
			if err == nil || time.Now().After(deadline) {
				return err
			}
			<-time.After(5 * time.Millisecond) // polling another process, there is nothing to wait on
		}
	})
}

// askRedis goes to Redis itself, not over the network that can fail.
func (d *instanceDeployment) askRedis(ask func(*redis.Client) error) {
	d.t.Helper()
	c := events.SocketClient(d.redisSocket)
	defer c.Close()
	if err := ask(c); err != nil {
		d.t.Fatalf("Redis: %v", err)
	}
}

func (d *instanceDeployment) redisSignal(signal syscall.Signal) {
	d.t.Helper()
	if err := d.redis.Process.Signal(signal); err != nil {
		d.t.Fatal(err)
	}
}

func (d *instanceDeployment) redisKill() {
	if d.redis == nil {
		return
	}
	_ = d.redis.Process.Kill() // also while it is stopped
	_ = d.redis.Wait()         // the exit status of a killed process says nothing
	d.redis = nil
}

// redisCut lets Redis close the connections of all instances.
func (d *instanceDeployment) redisCut() {
	d.t.Helper()
	d.askRedis(func(c *redis.Client) error {
		for _, kind := range []string{"pubsub", "normal"} {
			if err := c.Do(d.t.Context(), "CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes").Err(); err != nil {
				return err
			}
		}
		return nil
	})
}

// newInstanceWorld begins the clients that follow INBOX.
func newInstanceWorld(t *testing.T, d *instanceDeployment, seed uint64) *instanceWorld {
	w := &instanceWorld{
		t: t, d: d, mails: map[string]*instanceMail{}, tokens: map[uidOf]string{},
		states: map[instanceState]string{}, changed: make(chan struct{}, 1),
	}
	c, err := imapconn.Login(d.servers[0].imap, testUser, testPassword, ioTimeout)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Must("CREATE Away"); err != nil {
		t.Fatal(err)
	}
	begun, err := w.fresh(d.servers[0])
	if err != nil {
		t.Fatal(err)
	}
	w.validity = begun["INBOX"].validity
	for id, s := range d.servers {
		w.actors = append(w.actors, &instanceActor{
			world: w, server: s, id: id, rng: rand.New(rand.NewPCG(seed, uint64(id))),
		})
		follower := &instanceFollower{world: w, server: s, id: id, qresync: id == 1}
		w.followers = append(w.followers, follower)
		w.following.Go(follower.run)
	}
	t.Cleanup(w.end)
	w.settle()
	return w
}
