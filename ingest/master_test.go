package ingest

import (
	"encoding/base64"
	"testing"

	"gadwall/internal/storetest"
	"gadwall/internal/submission"
)

// A master user sends as the user for whom it acts, and as others if a setting says so.
func TestSubmissionOfMasterUsers(t *testing.T) {
	const root = "root@example.com"
	for name, tt := range map[string]struct {
		rule submission.Senders
		mail string // beside ada's address
		want string
	}{
		"own":       {submission.OwnSenders, "x@example.net", "553 5.7.1"},
		"the own":   {submission.OwnSenders, root, "553 5.7.1"},
		"catch-all": {submission.CatchAllSenders, "sales@shop.example", "250 "},
		"any":       {submission.AnySender, "x@example.net", "250 "},
	} {
		t.Run(name, func(t *testing.T) {
			e := newSubmission(t, func(o *submissionSetup) {
				o.service.MasterSenders, o.masters = tt.rule, []string{root}
			})
			e.store.User(t, root)
			if err := e.store.AddAlias(t.Context(), e.user.ID, "*@shop.example"); err != nil {
				t.Fatal(err)
			}
			star := plain(ada+"*"+root, storetest.Password)
			as := base64.StdEncoding.EncodeToString([]byte(ada + "\x00" + root + "\x00" + storetest.Password))
			for _, login := range []string{star, as} {
				c := e.dial(t)
				c.want("220 ")
				c.cmd("EHLO client.example", "250 ")
				c.cmd("AUTH PLAIN "+login, "235 2.7.0")
				c.cmd("MAIL FROM:<"+ada+">", "250 ")
				c.cmd("RSET", "250 ")
				c.cmd("MAIL FROM:<"+tt.mail+">", tt.want)
			}
			c := e.login(t) // ada gains nothing by the setting
			c.cmd("MAIL FROM:<x@example.net>", "553 5.7.1")
			c = e.dial(t)
			c.want("220 ")
			c.cmd("EHLO client.example", "250 ")
			c.cmd("AUTH PLAIN "+plain(ada+"*"+bob, storetest.Password), "535 5.7.8")
		})
	}
}
