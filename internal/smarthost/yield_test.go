package smarthost

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gadwall/internal/smarthosttest"
)

// dawdle lets the client of a transaction have been silent for so long.
func (t *Transaction) dawdle(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.client.since = t.client.since.Add(-d)
}

// The time in which the server works is not the client's, before DATA and after it.
func TestServersTurnIsNotClientTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clientTime
		tx := &Transaction{}
		c.begins()
		time.Sleep(commandLull - time.Millisecond)
		if c.dawdles(false) {
			t.Error("dawdles early")
		}
		time.Sleep(time.Millisecond)
		if !c.dawdles(false) || c.dawdles(true) {
			t.Error("does not dawdle, or after DATA")
		}
		tx.client = c
		for range 10 {
			tx.ServerTurn()
			time.Sleep(time.Hour)
			tx.mu.Lock()
			tx.done() // a command to the smarthost is over
			time.Sleep(time.Hour)
			if tx.client.dawdles(false) || tx.client.dawdles(true) {
				t.Fatal("the server's time is the client's")
			}
			tx.ClientTurn()
			time.Sleep(commandLull / 4)
		}
		if all := commandLull + 10*commandLull/4; tx.client.dawdles(false) || tx.client.dawdles(true) ||
			tx.client.before+time.Since(tx.client.since) != all {
			t.Errorf("the client's time is %v, not %v", tx.client.before+time.Since(tx.client.since), all)
		}
		time.Sleep(dataLull)
		if !tx.client.dawdles(true) {
			t.Error("does not dawdle on its own turn")
		}
	})
}

// DATA on the server's turn does not make it the client's.
func TestServersTurnLastsOverDATA(t *testing.T) {
	s := smarthosttest.New(t, smarthosttest.Options{})
	h := host(t, s, func(o *Options) { o.Connections = 1 })
	tx := dawdlers(t, h)[0]
	tx.ServerTurn()
	if tx.yield() {
		t.Error("yields on the server's turn")
	}
	if err := tx.Data(); err != nil {
		t.Fatal(err)
	}
	if !tx.client.serving || !tx.client.since.IsZero() {
		t.Error("the client's time runs")
	}
	tx.ClientTurn()
	tx.dawdle(dataLull)
	if !tx.yield() {
		t.Error("does not yield on the client's turn")
	}
	tx.Abort()
}

// A client that pauses again and again has its recipients said again a few times only.
func TestTransactionsResumeAFewTimes(t *testing.T) {
	var said atomic.Int32
	s := smarthosttest.New(t, smarthosttest.Options{Answer: func(command string) string {
		if strings.HasPrefix(command, "RCPT") {
			said.Add(1)
		}
		return ""
	}})
	h := host(t, s, func(o *Options) { o.Connections = 1 })
	tx := dawdlers(t, h)[0]
	for i := range maxResumes + 3 {
		tx.dawdle(commandLull)
		if yielded := tx.yield(); yielded != (i <= maxResumes) {
			t.Errorf("pause %d: yields %t", i, yielded)
		}
		err := tx.Rcpt(Recipient{Address: fmt.Sprintf("%d@x", i)})
		if want := i >= maxResumes; errors.Is(err, ErrSlow) != want || want && told(err) != "trouble 4.4.2" {
			t.Errorf("RCPT %d: %v", i, err)
		}
	}
	if err := tx.Data(); !errors.Is(err, ErrSlow) {
		t.Errorf("DATA: %v", err)
	}
	tx.Abort()
	nothingLeft(t, h)
	// Each resumption says again what came before.
	want := int32(1)
	for i := range int32(maxResumes) {
		want += i + 2
	}
	if n := said.Load(); n != want {
		t.Errorf("RCPT was said %d times, not %d", n, want)
	}
}

// dawdlers are as many users as hold all connections of a Host, with one transaction each.
func dawdlers(t *testing.T, h *Host) (list []*Transaction) {
	t.Helper()
	for i := range h.opts.Connections {
		tx, err := h.Begin(t.Context(), Envelope{User: fmt.Sprint("slow", i), From: fmt.Sprintf("slow%d@x", i)})
		if err == nil {
			err = tx.Rcpt(Recipient{Address: "first@x"})
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, tx)
	}
	return list
}

func nothingLeft(t *testing.T, h *Host) {
	t.Helper()
	if used, _ := h.Connections(); used != 0 || len(h.users) != 0 || len(h.open) != 0 {
		t.Errorf("%d connections in use, users %v, %d transactions", used, h.users, len(h.open))
	}
}

// Users who say MAIL and RCPT and then nothing hold up nobody, and their own messages go out whole
// when they go on.
func TestSilentClientsLendTheirConnections(t *testing.T) {
	s := smarthosttest.New(t, smarthosttest.Options{})
	h := host(t, s, func(o *Options) { o.Connections = userShare })
	slow := dawdlers(t, h)
	for _, tx := range slow {
		tx.dawdle(commandLull)
	}
	const others = 3
	for range others {
		if _, err := send(t, h, "x\r\n", "b@x"); err != nil {
			t.Fatal(err)
		}
	}
	for i, tx := range slow {
		if i%2 == 0 {
			if err := tx.Rcpt(Recipient{Address: "second@x"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := tx.Data(); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Write([]byte("slow\r\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.End(); err != nil {
			t.Fatal(err)
		}
	}
	nothingLeft(t, h)
	list := s.Messages()
	if len(list) != others+len(slow) {
		t.Fatalf("%d messages", len(list))
	}
	for i, m := range list[others:] {
		want := []string{"RCPT TO:<first@x>", "RCPT TO:<second@x>"}[:1+(i+1)%2]
		if !strings.HasPrefix(m.Mail, fmt.Sprintf("MAIL FROM:<slow%d@x>", i)) || m.Text != "slow\r\n" ||
			fmt.Sprint(m.Rcpt) != fmt.Sprint(want) {
			t.Errorf("message %d: %+v", i, m)
		}
	}
	if n := s.Accepted(); n > userShare {
		t.Errorf("%d connections", n)
	}
}

// A message that comes in slowly while others wait is refused; one that does not is left alone.
func TestSlowMessagesMakeRoom(t *testing.T) {
	s := smarthosttest.New(t, smarthosttest.Options{})
	h := host(t, s, func(o *Options) { o.Connections = userShare })
	slow := dawdlers(t, h)
	for _, tx := range slow {
		if err := tx.Data(); err != nil {
			t.Fatal(err)
		}
	}
	half := strings.Repeat("x", minRate*10) + "\r\n"
	slow[0].dawdle(dataLull)
	slow[1].dawdle(dataLull - time.Second)
	slow[2].dawdle(dataLull - time.Second)
	for _, tx := range slow[1:] {
		if _, err := tx.Write([]byte(half)); err != nil {
			t.Fatal(err)
		}
	}
	slow[1].dawdle(dataLull - 3*time.Second) // now it has been too slow as a whole
	slow[2].dawdle(time.Second)
	for range 2 {
		if _, err := send(t, h, "x\r\n", "b@x"); err != nil {
			t.Fatal(err)
		}
	}
	if !h.reclaim() || h.reclaim() || slow[1].failed == nil {
		t.Error("another client than the one that dawdles lost its connection")
	}
	for i, tx := range slow {
		_, err := tx.Write([]byte("rest\r\n"))
		if err == nil {
			_, err = tx.End()
		}
		tx.Abort()
		if want := i < 2; errors.Is(err, ErrSlow) != want || want && told(err) != "trouble 4.4.2" {
			t.Errorf("message %d: %v", i, err)
		}
	}
	nothingLeft(t, h)
	if n := len(s.Messages()); n != 4 {
		t.Errorf("%d messages", n)
	}
}

// A smarthost that takes a recipient no more when it hears of it again makes the client begin anew.
func TestResumedTransactionsAreTheSame(t *testing.T) {
	var refusing atomic.Bool
	s := smarthosttest.New(t, smarthosttest.Options{Answer: func(command string) string {
		if refusing.Load() && strings.HasPrefix(command, "RCPT TO:<first") {
			return "550 5.1.1 no"
		}
		return ""
	}})
	h := host(t, s, func(o *Options) { o.Connections = userShare })
	slow := dawdlers(t, h)
	for _, tx := range slow {
		tx.dawdle(commandLull)
		if !tx.yield() || tx.yield() {
			t.Fatal("yields not at all, or twice")
		}
	}
	refusing.Store(true)
	if err := slow[0].Data(); told(err) != "trouble 4.4.2" {
		t.Errorf("DATA: %v", err)
	}
	for range 2 {
		if err := slow[1].Rcpt(Recipient{Address: "second@x"}); told(err) != "trouble 4.4.2" {
			t.Errorf("RCPT: %v", err)
		}
	}
	for _, tx := range slow {
		tx.Abort()
	}
	nothingLeft(t, h)
	if n := len(s.Messages()); n != 0 {
		t.Errorf("%d messages", n)
	}
}
