package mailstore

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// attachment is a mail with a large body in base64.
func attachment(subject string, body []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Subject: %s\r\nContent-Type: application/octet-stream\r\n"+
		"Content-Transfer-Encoding: base64\r\n\r\n", subject)
	text := base64.StdEncoding.EncodeToString(body)
	for len(text) > 76 {
		b.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	return b.String() + text + "\r\n"
}

func TestSpace(t *testing.T) {
	e := newEnv(t)
	ada, bob := e.user(t), e.user(t)
	random := rand.New(rand.NewPCG(1, 2))
	bodies := make([][]byte, 2)
	for i := range bodies {
		bodies[i] = make([]byte, 30_000+i)
		for j := range bodies[i] {
			bodies[i][j] = byte(random.Uint32())
		}
	}
	traces := "Received: by mx\r\n"
	put := func(u *User, text string, copies int) {
		t.Helper()
		stored := e.content(t, text, copies)
		for _, magic := range stored.Magics {
			got, err := e.Deliver(t.Context(), stored,
				[]Delivery{{Mailbox: e.box(t, u, Inbox).Key, Prefix: []byte(traces), Magic: magic}})
			if err != nil || got[0].Err != nil {
				t.Fatal(got, err)
			}
		}
	}
	one, two, three := attachment("one", bodies[0]), attachment("two", bodies[0]), attachment("three", bodies[1])
	put(ada, one, 3)   // a content, three times
	put(ada, two, 1)   // another with the same blob
	put(ada, three, 1) // a blob of its own
	put(bob, one, 1)   // ada's, too
	put(bob, "Subject: small\r\n\r\n", 1)

	// decoded is what a text is without base64, and inline the part of it that is not in the blob.
	inline := func(text string) int64 { return int64(strings.Index(text, "\r\n\r\n") + 4) }
	blob := func(i int) int64 { return int64(len(bodies[i])) }
	tr := int64(len(traces))
	small := int64(len("Subject: small\r\n\r\n"))
	want := map[*User]Space{
		ada: {
			Logical: 3*int64(len(one)) + int64(len(two)) + int64(len(three)) + 5*tr,
			Decoded: 3*inline(one) + inline(two) + inline(three) + 4*blob(0) + blob(1) + 5*tr,
			Unique:  inline(one) + inline(two) + inline(three) + blob(0) + blob(1) + 5*tr,
			Traces:  5 * tr,
		},
		bob: {
			Logical: int64(len(one)) + small + 2*tr,
			Decoded: inline(one) + blob(0) + small + 2*tr,
			Unique:  inline(one) + blob(0) + small + 2*tr,
			Traces:  2 * tr,
		},
	}
	var sum Space
	for u, space := range want {
		for _, limit := range []int{maxSpaceEntries, 3, 1} { // several passes give the same
			got, err := e.space(t.Context(), u.ID, limit)
			if err != nil || got != space {
				t.Errorf("%s with %d entries: %+v, %v; want %+v", u.Username, limit, got, err, space)
			}
		}
		got, err := e.Space(t.Context(), u.ID)
		if err != nil || got.Logical != e.usage(t, u) {
			t.Errorf("%+v, %v; usage %d", got, err, e.usage(t, u))
		}
		sum = sum.Add(got)
	}
	all, err := e.DistinctSpace(t.Context(), sum)
	unique := inline(one) + inline(two) + inline(three) + blob(0) + blob(1) + small + 7*tr
	if err != nil || all.Unique != unique {
		t.Errorf("in all %+v, %v; want %d unique", all, err, unique)
	}
	if saved := all.Saved(); saved < 0.6 || saved > 0.7 {
		t.Errorf("saved %f", saved) // two blobs of six
	}
	if (Space{}).Saved() != 0 {
		t.Error("nothing saves something")
	}
}

// usage is a user's, in octets.
func (e *env) usage(t *testing.T, u *User) int64 {
	t.Helper()
	_, usage, err := e.Quota(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return usage.Bytes
}

// BenchmarkSpace looks at the mail of a user of 100,000 messages with 2,000 contents, on a database
// on disk, and at all contents.
func BenchmarkSpace(b *testing.B) {
	const distinct, copies = 2000, 50
	e, _ := openOnDisk(b)
	u := e.user(b)
	inbox := e.box(b, u, Inbox).Key
	for i := range distinct {
		stored := e.content(b, mail(i), copies)
		list := make([]Delivery, copies)
		for j := range list {
			list[j] = Delivery{Mailbox: inbox, Magic: stored.Magics[j]}
		}
		if _, err := e.Deliver(b.Context(), stored, list); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		sum, err := e.Space(b.Context(), u.ID)
		if err != nil {
			b.Fatal(err)
		}
		if sum, err = e.DistinctSpace(b.Context(), sum); err != nil || sum.Unique == 0 {
			b.Fatalf("%+v, %v", sum, err)
		}
	}
	b.ReportMetric(float64(distinct*copies*b.N)/b.Elapsed().Seconds(), "messages/s")
}
