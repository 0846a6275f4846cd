package imap

import (
	"strings"
	"testing"

	"gadwall/internal/account"
	"gadwall/internal/dovecottest"
)

// TestRightsLikeDovecot runs testdata/peers/acl/rights.txt, in the form of TestCommandsLikeDovecot,
// once for each right alone, for all but each, for none and for all: an owner gives these rights
// on mailboxes to a guest. The script has the words {owner}, {guest}, {rights}, and {tree} for the
// mailbox above those of this time.
func TestRightsLikeDovecot(t *testing.T) {
	theirs := dovecottest.Start(t, dovecottest.LikeGadwall(), dovecottest.Sharing())
	ours := newTestServer(t)
	const owner = "owner@example.com"
	ours.addUser(t, owner)
	var variants []variant
	for _, rights := range rightsToTest() {
		name := nameOfRights(rights)
		words := map[string]string{"rights": rights.String(), "owner": owner,
			"tree": "tree-" + strings.ReplaceAll(name, " ", "-")}
		words["guest"] = "guest-" + words["tree"] + "@example.com"
		ours.addUser(t, words["guest"])
		variants = append(variants, variant{name: name, user: words["guest"], words: words})
	}
	both := newPeers(t, theirs, ours, reasonsOfDifferences(t, "## Rights"))
	both.run("testdata/peers/acl/rights.txt", variants)
	both.unused()
}

// nameOfRights is short for all rights and for all but a few.
func nameOfRights(r account.Rights) string {
	switch others := account.AllRights &^ r; {
	case r == 0:
		return "none"
	case others == 0:
		return "all"
	case len(others.String()) < len(r.String()):
		return "all but " + others.String()
	}
	return r.String()
}
