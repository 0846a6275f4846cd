package ingest

// role is which protocol a server speaks, and what that changes in the conversation. The rest is
// the same for all.
type role struct {
	name    string // in logs and metrics
	service string // what the greeting calls it
	// greetings are the commands by which a client introduces itself; true for those that ask for
	// extensions.
	greetings map[string]bool
	// wants is what a client is told that uses another one.
	wants string
	// perRecipient: the body is answered for each recipient by itself, otherwise once for all.
	perRecipient bool
}

var (
	// roleLMTP is RFC 2033.
	roleLMTP = &role{
		name: "LMTP", service: "LMTP", perRecipient: true,
		greetings: map[string]bool{"LHLO": true}, wants: "This is an LMTP server, it wants LHLO",
	}
	// roleSMTP is RFC 5321, for mail to users of this store.
	roleSMTP = &role{
		name: "SMTP", service: "ESMTP",
		greetings: map[string]bool{"EHLO": true, "HELO": false},
		wants:     "This is an SMTP server, it wants EHLO",
	}
	// roleSubmission is RFC 6409, for mail of users of this store.
	roleSubmission = &role{
		name: "submission", service: "ESMTP", greetings: roleSMTP.greetings, wants: roleSMTP.wants,
	}
)
