package doctor

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"gadwall/internal/config"
	"gadwall/internal/events"
	"gadwall/internal/listen"
)

// listeners looks whether a server listens where the settings say, or could.
func listeners(ctx context.Context, o *Options, f *findings) {
	for _, at := range o.Serve.All(o.Serve.Smarthost != "") {
		if at.Addr == config.Off {
			continue
		}
		a, err := listen.ParseAddress(at.Addr)
		if err != nil {
			continue // a finding of the configuration
		}
		listener(ctx, o, f, at, a)
	}
}

func listener(ctx context.Context, o *Options, f *findings, at config.Listener, a listen.Address) {
	where := fmt.Sprintf("--%s %s", at.Flag, at.Addr)
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, a.Network, a.Name)
	if err == nil {
		defer conn.Close()
		if !listen.Trusted(o.Serve.TrustedProxies).None() {
			f.ok("%s: a server listens.", where) // it may wait for a header of the PROXY protocol
			return
		}
		greeting, err := greet(ctx, conn, at.Flag)
		switch {
		case err != nil:
			f.problem("Look at its log, or at the process that has the address (ss -lntp).",
				"%s: something listens and does not greet: %v", where, err)
		case isGadwall(at.Flag, greeting):
			f.ok("%s: a Gadwall answers.", where)
		default:
			f.problem("Stop it, or choose another address.", "%s: another server has the address: %q", where, greeting)
		}
		return
	}
	if a.Network == "unix" {
		socketPlace(f, where, a.Name, err)
		return
	}
	l, err := net.Listen(a.Network, a.Name)
	switch {
	case err == nil:
		l.Close()
		f.ok("%s: no server listens, and one could.", where)
	case errors.Is(err, fs.ErrPermission):
		f.problem("Start the server with the capability CAP_NET_BIND_SERVICE, as the unit in contrib does.",
			"%s: this user may not listen there.", where)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		f.problem("Use an address of this machine, or :PORT for all.", "%s: this machine has no such address.", where)
	default:
		f.problem("Choose another address.", "%s: %v", where, err)
	}
}

// socketPlace looks whether a socket could be made.
func socketPlace(f *findings, where, path string, dialed error) {
	dir := filepath.Dir(path)
	fi, err := os.Stat(dir)
	switch {
	case errors.Is(dialed, fs.ErrPermission):
		f.warn("Run this as the user of the server, or give the socket another mode.",
			"%s: this user may not connect, so nothing is known of it.", where)
	case err != nil:
		f.problem("Make the directory, for the user of the server.", "%s: %v", where, err)
	case !fi.IsDir():
		f.problem("Choose another path.", "%s: %s is no directory.", where, dir)
	default:
		f.ok("%s: no server listens, and one could.", where)
	}
}

// greet returns the first line that a server says.
func greet(ctx context.Context, conn net.Conn, flag string) (string, error) {
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // what cannot be set does not end later than ctx
	}
	if flag == "imaps-listen" || flag == "submissions-listen" {
		// Who it is does not matter here: the look at certificates says whether clients believe it.
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	if flag == "http-listen" {
		if _, err := io.WriteString(conn,
			"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
			return "", err
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxGreeting))
		return strings.TrimSpace(string(body)), err
	}
	line, err := bufio.NewReader(io.LimitReader(conn, maxGreeting)).ReadString('\n')
	return strings.TrimSpace(line), err
}

func isGadwall(flag, greeting string) bool {
	if flag == "http-listen" {
		return strings.Contains(greeting, `"status":`) && strings.HasPrefix(greeting, `{"success":`)
	}
	begin := map[string]string{"imap-listen": "* OK ", "imaps-listen": "* OK "}[flag]
	if begin == "" {
		begin = "220 "
	}
	return strings.HasPrefix(greeting, begin) && strings.Contains(greeting, "Gadwall")
}

// smarthost looks whether the server that relays submitted mail answers.
func smarthost(ctx context.Context, o *Options, f *findings) {
	host := o.Serve.Smarthost
	if host == "" {
		f.ok("There is no smarthost: submission is not started.")
		return
	}
	do := "Look at --smarthost, at the network, and whether the smarthost lets this machine in."
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		f.problem(do, "The smarthost %s cannot be reached: %v", host, err)
		return
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // as in greet
	}
	encrypted := o.Serve.SmarthostTLS
	abilities, err := hello(conn, o.Serve.Hostname, encrypted == "tls")
	switch {
	case err != nil:
		f.problem(do, "The smarthost %s does not talk SMTP: %v", host, err)
	case encrypted == "starttls" && !strings.Contains(abilities, "STARTTLS"):
		f.problem("Set --smarthost-tls to tls, or to none if the way to it is private.",
			"The smarthost %s offers no STARTTLS: no mail is sent.", host)
	case encrypted == "none" && !config.IsLocal(host):
		f.warn("Use a smarthost with TLS, unless the way to it is private.",
			"Mail and password go to the smarthost %s as they are.", host)
	default:
		f.ok("The smarthost %s answers.", host)
	}
}

// hello introduces itself to an SMTP server and returns what that can do (RFC 5321 section 4.1.1.1).
func hello(conn net.Conn, name string, wrapped bool) (string, error) {
	if wrapped {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // nothing is sent that is secret
	}
	lines := bufio.NewReader(io.LimitReader(conn, 50*maxGreeting))
	reply := func() (string, error) {
		var all strings.Builder
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return "", err
			}
			if !strings.HasPrefix(line, "2") {
				return "", fmt.Errorf("it says %q", strings.TrimSpace(line))
			}
			all.WriteString(strings.ToUpper(line))
			if len(line) < 4 || line[3] != '-' {
				return all.String(), nil
			}
		}
	}
	if _, err := reply(); err != nil {
		return "", err
	}
	if name == "" {
		name = "localhost"
	}
	if _, err := fmt.Fprintf(conn, "EHLO %s\r\n", name); err != nil {
		return "", err
	}
	abilities, err := reply()
	if err == nil {
		_, _ = io.WriteString(conn, "QUIT\r\n") // a courtesy
	}
	return abilities, err
}

// redisServer looks whether events pass a Redis.
func redisServer(ctx context.Context, o *Options, f *findings) {
	url := o.Serve.RedisURL
	if url == "" {
		if o.Serve.Storage.Embedded() {
			f.ok("The server brings its own Redis.")
		} else {
			f.warn("Set --redis-url as soon as there are two instances.",
				"There is no Redis: sessions notice changes by other instances when they look, every 30 seconds.")
		}
		return
	}
	client, err := events.NewClient(url)
	if err != nil {
		f.problem("Set --redis-url to a URL such as redis://host:6379/0.", "%v", err)
		return
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	info, err := client.Info(ctx, "server", "memory").Result()
	if err != nil {
		f.problem("Look at --redis-url, at the network, and at the log of Redis. Mail works without it.",
			"Redis cannot be used: %v", err)
		return
	}
	of := fieldsOf(info)
	describeRedis(f, of)
	if err := passEvent(ctx, client); err != nil {
		f.problem("Let the user of Redis publish and subscribe (ACL: +@pubsub, &*).",
			"Events do not pass Redis: %v", err)
		return
	}
	f.ok("Redis %s passes events.", of["redis_version"])
}

// describeRedis judges what a Redis says of itself.
func describeRedis(f *findings, of map[string]string) {
	if major, _, _ := strings.Cut(of["redis_version"], "."); number(major) < leastRedis {
		f.warn("Upgrade it.", "This is Redis %s, which nobody maintains any more.", of["redis_version"])
	}
	if of["maxmemory"] != "0" && of["maxmemory"] != "" && of["maxmemory_policy"] != "noeviction" {
		f.warn("Set maxmemory-policy noeviction, or give Gadwall a Redis of its own.",
			"Redis may drop keys (%s): two instances may then do background work twice, which harms nobody.",
			of["maxmemory_policy"])
	}
}

// passEvent sends an event to itself, on a channel to which nobody else listens.
func passEvent(ctx context.Context, client *redis.Client) error {
	channel := "gadwall:doctor:" + rand.Text()
	sub := client.Subscribe(ctx, channel)
	defer sub.Close()
	if _, err := sub.Receive(ctx); err != nil {
		return err
	}
	if err := client.Publish(ctx, channel, "hello").Err(); err != nil {
		return err
	}
	_, err := sub.ReceiveMessage(ctx)
	return err
}

// fieldsOf reads what INFO answers.
func fieldsOf(info string) map[string]string {
	fields := make(map[string]string)
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

// since is a time span as people say it.
func since(d time.Duration) string { return d.Round(time.Second).String() }
