package mailstore

// Fields of message documents that conditions of a Query may name. Fields that are empty or false are absent.
const (
	DocID           = "_id" // mailkey.Message
	DocMailbox      = "b"   // mailkey.Mailbox; for the index on mod-sequences
	DocModSeq       = "q"   // int64
	DocFlags        = "f"   // int32, a set of Flags; always present
	DocKeywords     = "k"   // array of strings, spelled as the mailbox first saw them
	DocUnseen       = "n"   // true when \Seen is not set; indexed with _id
	DocDeleted      = "x"   // true when \Deleted is set; indexed with _id
	DocInternalDate = "d"   // date, whole seconds
	DocSaveDate     = "a"   // date, whole seconds
	DocSize         = "z"   // int64
	DocContent      = "c"   // contents.ID, binary
	DocMagic        = "g"   // int64
	DocPrefix       = "p"   // binary
	DocEnvelope     = "e"   // binary; absent if larger than envelope.MaxWire
	DocStructure    = "y"   // binary; likewise

	// DocNumber (int64) is unique and ascending within the user. A copy of the message in another
	// mailbox of the user has the same. DocThread (int64) is the number of the message with which its
	// thread began. Both are absent in messages that were stored before there were numbers.
	DocNumber = "m"
	DocThread = "t"
	// DocLinks (array of binary) says what the header says of message identifiers; see links.go.
	// It is absent in the same messages.
	DocLinks = "j"

	// DocSubmitted (int64) is the mod-sequence of the mailbox at which submission put the message there,
	// or found that a client had. A copy has none.
	DocSubmitted = "o"
	// DocOrigin (int64) is an Origin; absent for messages that were delivered or appended
	// and teach nothing.
	DocOrigin = "l"

	DocPreview     = "v"  // see Message.Preview; "" for nothing to see, absent where it was not made
	DocSent        = "s"  // date, an instant
	DocSentDay     = "sd" // date, 0:00 UTC of the day the Date field names
	DocSubject     = "u"  // normalised
	DocBaseSubject = "ub" // RFC 5256 section 2.1, normalised; absent if it is the same as DocSubject
	DocFrom        = "hf"
	DocTo          = "ht"
	DocCc          = "hc"
	DocBcc         = "hb"
	DocMessageID   = "i"
	DocInReplyTo   = "ir"
	DocReferences  = "r" // array of strings
	DocAttachments = "w" // true if a reader would list attachments

	// DocTextRules is TextRules (int32) if DocSubject, DocFrom, DocTo, DocCc and DocBcc are the whole
	// texts of all header fields of these names, as envelope.Text gives them. It is absent, or less,
	// if one was cut, and in messages that were stored under other rules: then only the header of
	// the content tells what is there.
	DocTextRules = "h"
)

// TextRules are the present rules for DocTextRules. They change when envelope.Text does.
const TextRules = 1

// Collections.
const (
	collUsers         = "users"
	collAddresses     = "addresses"
	collMailboxes     = "mailboxes"
	collSubscriptions = "subscriptions"
	collMessages      = "messages"
	collJournal       = "journal"
	collTokens        = "tokens"
	collSending       = "sending"
	collAuthlog       = "authlog"
	collDomains       = "domains"
	collShares        = "shares"   // identifiers with which something is or was shared
	collState         = "state"    // one document for each thing that happens to the whole store
	collMetadata      = "metadata" // annotations (RFC 5464)
	collSeen          = "seen"     // what users have seen in mailboxes of others
	collRolls         = "rolls"    // UIDs of large mailboxes
)

// Fields of user documents. Those of the quota belong to package quota.
const (
	userName        = "name"     // normalised address
	userHash        = "hash"     // PHC string
	userScram       = "scram"    // scramDoc; absent where there is none
	userCreated     = "created"  // date
	userDeleting    = "deleting" // true once DeleteUser began
	userPurged      = "purged"   // date: lease of the purge, the time of its latest progress
	userMailboxes   = "mboxes"   // int64: how many mailbox numbers were given out
	userUIDValidity = "uidv"     // int64: the last UIDVALIDITY given out
	userNumbers     = "nums"     // int64: how many numbers were given out to messages
	userAdvanced    = "adv"      // binary: the latest advance that raised the three before
	userDomain      = "dom"      // of the name; absent in users of before
	userDisplayName = "disp"
	userMetadata    = "meta"   // string: JSON
	userState       = "state"  // string: a UserState; absent for UserActive
	userDeleteAfter = "until"  // date: when a user in state UserDeleted goes for good
	userApps        = "apps"   // array of appPasswordDoc
	userAppsUsed    = "used"   // document: when each of them was used last, by id
	userTree        = "tree"   // int64: counts changes of the mailbox list, which all write it
	userGroups      = "groups" // array of strings: the groups that the user is in, normalised
	userSending     = "send"   // sendingDoc: own limits of sending; absent for Default
	userNotes       = "notes"  // int64: number of the latest entry of the user's own journal
	userAnnotations = "ann"    // int64: counts changes of metadata
)

// Fields of address documents; _id is the normalised address.
const (
	addressUser  = "user"
	addressAlias = "alias" // true for all but the user name
)

// tokenUser is the field of token documents with the user whose token it is.
const tokenUser = "user"

// Fields of domain documents; _id is the domain. They are there for what is set only.
const (
	domainBytes    = "bytes"    // int64: default limit of its users; absent for Default
	domainMessages = "messages" // int64, likewise
	domainAliasOf  = "alias"    // string: the domain that has its mail
)

// Fields of mailbox documents.
const (
	boxUser        = "u"
	boxPath        = "p"
	boxUIDValidity = "v" // int64
	boxUIDNext     = "n" // int64
	boxModSeq      = "q" // int64, the highest one given out
	boxSpecialUse  = "s"
	boxSubscribed  = "b"
	boxMessages    = "cm" // int64, as are the next four
	boxUnseen      = "cu"
	boxDeleted     = "cd"
	boxSize        = "cz"
	boxDeletedSize = "cdz"
	boxRepairs     = "r" // int64: how often counters were repaired; absent for never
	boxKeywords    = "k" // array: spellings of the keywords seen so far
	boxExpunged    = "x" // int64: mod-sequence of the newest journal entry
	boxCreated     = "t"
	boxAdvanced    = "adv" // binary: the latest advance that raised the mailbox
	boxFloor       = "fl"  // int64: the mod-sequence that it left no message below
	boxDeleting    = "del" // true once DeleteMailbox began
	boxACL         = "acl" // array of ACLEntry
	boxSharedWith  = "sw"  // array: the identifiers of the entries; indexed
	boxExpire      = "ex"  // int64: days after which messages go, 0 for never; absent: as those of its use
	boxPurged      = "dt"  // date: lease of the purge, the time of its latest progress
)

// Fields of journal entries; _id is the journalKey.
const (
	journalExpunged = "x" // binary, see encodeUIDs
	journalPrevious = "v" // int64: mod-sequence of the mailbox's entry before, 0 for the first
	journalExpires  = "e" // date at which the TTL index removes the entry
	journalTarget   = "o" // binary, see encodeTarget: where the messages were moved to
	journalLesson   = "l" // int32, a Lesson: what the entry teaches a spam filter
	journalTaught   = "y" // binary, see encodeUIDs: whose keywords teach it; absent if moved messages do
	journalNotes    = "c" // array of noteDoc; entries of users alone
	journalBase     = "d" // binary: bases alone, see KeepBase
)

// Fields of entries of the authentication log; see LoginEvent. Empty ones are absent.
const (
	authlogUser      = "u" // binary; zeros if the name is nobody's
	authlogName      = "n"
	authlogProtocol  = "p"
	authlogMechanism = "m"
	authlogRemote    = "a"
	authlogBy        = "w"
	authlogActor     = "x"
	authlogResult    = "r"
	authlogFailed    = "f" // true if the result is a failure
	authlogCount     = "c" // int64
	authlogFirst     = "s" // date
	authlogLast      = "l" // date
	authlogExpires   = "e" // date at which the TTL index removes the entry
)

// Fields of documents of seen messages; _id is the seenID.
const (
	seenUser = "u" // who has seen them
	seenUIDs = "x" // binary, see encodeSet
)

// Fields of rolls by which one is found; _id is the mailbox key. rollDoc has all.
const (
	rollUIDValidity = "v" // int64
	rollModSeq      = "q" // int64
)

// Fields of subscription documents (names without a mailbox); _id is the subscriptionID.
const (
	subscriptionUser = "u"
	subscriptionPath = "p"
)

// Fields of metadata documents; _id is the metadataKey.
const (
	metadataUser    = "u"
	metadataName    = "n" // string, in lower case
	metadataValue   = "v" // binary
	metadataSize    = "z" // int64: octets of the value
	metadataChange  = "q" // int64: number of the latest change
	metadataActor   = "o" // of a private entry whose actor is not the user: the actor's id
	metadataExpires = "e" // of an entry without a value: date at which the TTL index removes it
)
