package account

import (
	"fmt"
	"slices"
	"testing"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailkey"
	"gadwall/internal/search/order"
	"gadwall/internal/storetest"
)

// TestSortReadsWhatCameSince: the second sort of a mailbox by the same criteria reads no message,
// and a later one only those that came since; the order is that of a sort that reads all.
func TestSortReadsWhatCameSince(t *testing.T) {
	db, commands := dbtest.Monitored(t)
	st := storetest.Open(t, storetest.Options{Database: db})
	accounts, err := New(Options{Store: st.Store, Bus: st.Bus})
	if err != nil {
		t.Fatal(err)
	}
	e := &env{Accounts: accounts, t: t, db: db, user: st.User(t, "alice@example.com")}
	e.fill(minOrder)
	inbox := e.with("lr", ReadOnly)
	criteria := []order.Criterion{{By: order.Subject, Reverse: true}, {By: order.From}}
	sorted := func(uids []uint32, documents int) []uint32 {
		t.Helper()
		commands.Reset()
		got, err := inbox.Sort(t.Context(), uids, criteria)
		if err != nil {
			t.Fatal(err)
		}
		if n := commands.Documents("messages"); n != documents {
			t.Errorf("a sort of %d messages reads %d", len(uids), n)
		}
		return got
	}
	upTo := func(n uint32) (uids []uint32) {
		for uid := uint32(1); uid <= n; uid++ {
			uids = append(uids, uid)
		}
		return uids
	}
	sorted(upTo(minOrder), minOrder)
	sorted(upTo(minOrder), 0)
	sorted([]uint32{3, 5, 400}, 0)
	e.fill(3)
	got := sorted(upTo(minOrder+3), 3)
	accounts.orders = newOrders()
	if want := sorted(upTo(minOrder+3), minOrder+3); !slices.Equal(got,
		want) || len(want) != minOrder+3 {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestOrdersAreBounded: orders take no more than their bound; the longest unused go first.
func TestOrdersAreBounded(t *testing.T) {
	o := newOrders()
	big := order.NewSorter([]order.Criterion{{By: order.Subject}})
	for i := range uint32(1000) {
		big.Add(i+1, &order.Message{Subject: fmt.Sprintf("%08192d", i)})
	}
	kept := big.Keep()
	fits := int(maxOrderBytes / kept.Bytes())
	name := func(i int) orderName { return orderOf(mailkey.UserID{1}.Mailbox(uint32(i)), nil) }
	for i := range fits + 3 {
		o.put(name(i), kept)
		if o.get(name(0)) == nil { // used again and again
			t.Fatalf("the order in use went with %d of %d", i, fits)
		}
		if o.bytes > maxOrderBytes || int64(len(o.entries))*kept.Bytes() != o.bytes {
			t.Fatalf("%d octets in %d orders", o.bytes, len(o.entries))
		}
	}
	if o.get(name(1)) != nil || o.get(name(fits+2)) == nil {
		t.Error("another one than the longest unused went")
	}
	huge := kept
	for huge.Bytes() <= maxOrderBytes/2 {
		more := order.NewSorter(nil)
		for i := range uint32(200_000) {
			more.Add(uint32(huge.Len())+2000+i, &order.Message{})
		}
		huge = huge.With(more.Keep())
	}
	o.put(name(0), huge)
	if o.get(name(0)) != nil {
		t.Error("one order takes more than half")
	}
}
