package search

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// Plan is a search of one mailbox, divided: the messages that the database
// finds by UIDs and Filter are the answer, or else a superset of it whose
// members Residual tells apart.
type Plan struct {
	Mailbox  mailkey.Mailbox
	UIDs     uidset.Set // ascending and apart; empty: no message
	Filter   bson.D     // nil: all of UIDs
	Residual *Key       // nil: UIDs and Filter are exact
	// Rows is the whole search if flags, keywords, internal dates, sizes, mod-sequences, numbers and
	// UIDs decide it; otherwise nil.
	Rows *Key
	// Cut is what flags, keywords, internal dates, sizes, mod-sequences, numbers and UIDs say of every
	// message that is found, if there is a Residual; nil for nothing.
	Cut *Key
}

// Compile turns a search of a mailbox into a plan. scope holds all messages
// that may be found. It is a pure function; its error is ErrTooLarge.
//
// Sets of UIDs at the top become ranges of the primary key. Everything else is
// a condition on a field of the message's document, nested as written, except
// for what only the content can tell (Body, Text, other header fields, and what
// stored fields say that are not whole): an All loses that part,
// and an Any with such a part counts as no condition. They come back whole in
// Residual.
func Compile(key *Key, box mailkey.Mailbox, scope uidset.Set) (Plan, error) {
	plan := Plan{Mailbox: box}
	if err := key.check(); err != nil {
		return plan, err
	}
	key = key.simplify(false)
	if key.nothing() || len(scope) == 0 {
		return plan, nil
	}
	if key.ofRows() {
		plan.Rows = key
	}
	kids := []*Key{key}
	if key.op == opAnd {
		kids = key.kids
	}
	plan.UIDs = slices.Clone(scope)
	var rest, cut []*Key
	var conds []bson.D
	for _, kid := range kids {
		switch {
		case kid.op == opUIDs:
			plan.UIDs = plan.UIDs.Intersect(kid.uids)
			continue
		case kid.op == opNot && kid.kids[0].op == opUIDs:
			plan.UIDs = plan.UIDs.Subtract(kid.kids[0].uids)
			continue
		}
		if kid.ofRows() {
			cut = append(cut, kid)
		}
		cond, exact := compileKey(kid, box)
		if cond != nil {
			conds = append(conds, cond)
		}
		if !exact {
			rest = append(rest, kid)
		}
	}
	plan.Filter = joinConds("$and", conds)
	if len(rest) > 0 {
		plan.Residual = All(rest...)
		if len(cut) > 0 {
			plan.Cut = All(cut...)
		}
	}
	return plan, nil
}

// joinConds joins conditions by $and or $or, without the operator where it is
// not needed: one condition, or an AND of different fields.
func joinConds(op string, conds []bson.D) bson.D {
	switch len(conds) {
	case 0:
		return nil
	case 1:
		return conds[0]
	}
	if op == "$and" {
		if flat := flatten(conds); flat != nil {
			return flat
		}
	}
	return bson.D{{Key: op, Value: docs(conds)}}
}

// flatten puts conditions on different fields into one document; nil if two
// are on the same.
func flatten(conds []bson.D) bson.D {
	var flat bson.D
	for _, cond := range conds {
		for _, e := range cond {
			if slices.ContainsFunc(flat, func(f bson.E) bool { return f.Key == e.Key }) {
				return nil
			}
			flat = append(flat, e)
		}
	}
	return flat
}

func docs(conds []bson.D) bson.A {
	a := make(bson.A, len(conds))
	for i, c := range conds {
		a[i] = c
	}
	return a
}

// compileKey returns a condition that all messages fulfil that key does (nil
// for none), and whether they are the only ones. key is simplified.
func compileKey(key *Key, box mailkey.Mailbox) (cond bson.D, exact bool) {
	switch key.op {
	case opAnd, opOr:
		return compileNested(key, box)
	case opNot:
		return compileNegated(key.kids[0], box)
	}
	return compileLeaf(key, box)
}

func compileNested(key *Key, box mailkey.Mailbox) (bson.D, bool) {
	conds := make([]bson.D, 0, len(key.kids))
	allExact := true
	for _, kid := range key.kids {
		cond, exact := compileKey(kid, box)
		if cond == nil && key.op == opOr {
			return nil, false
		}
		if cond != nil {
			conds = append(conds, cond)
		}
		allExact = allExact && exact
	}
	if key.op == opAnd {
		return joinConds("$and", conds), allExact
	}
	return joinConds("$or", conds), allExact
}

// compileNegated compiles NOT of a leaf.
func compileNegated(leaf *Key, box mailkey.Mailbox) (bson.D, bool) {
	if leaf.op == opFlag {
		return mailstore.FlagFilter(leaf.flag, false), true
	}
	cond, exact := compileLeaf(leaf, box)
	switch {
	case leaf.op == opField && cond != nil:
		// Only where the stored text is all there is to know, it tells for sure.
		return bson.D{{Key: "$nor", Value: bson.A{append(containsCond(leaf), wholeCond()...)}}}, false
	case !exact:
		return nil, false
	}
	return bson.D{{Key: "$nor", Value: bson.A{cond}}}, true
}

// compileLeaf compiles a key that is no combination of others.
func compileLeaf(key *Key, box mailkey.Mailbox) (bson.D, bool) {
	switch key.op {
	case opUIDs:
		if len(key.uids) > maxFilterRanges {
			return nil, false
		}
		return uidCond(key.uids, box), true
	case opFlag:
		return mailstore.FlagFilter(key.flag, true), true
	case opKeyword:
		return mailstore.KeywordFilter(key.name), true
	case opInternal:
		return timeCond(mailstore.DocInternalDate, key.from, key.to), true
	case opSaved:
		return timeCond(mailstore.DocSaveDate, key.from, key.to), true
	case opSent:
		return timeCond(mailstore.DocSentDay, key.from, key.to), true
	case opSize:
		var e bson.D
		if key.min > 0 {
			e = append(e, bson.E{Key: "$gte", Value: key.min})
		}
		if key.max < maxSize || e == nil {
			e = append(e, bson.E{Key: "$lte", Value: key.max})
		}
		return bson.D{{Key: mailstore.DocSize, Value: e}}, true
	case opNumber:
		return bson.D{{Key: mailstore.DocNumber, Value: key.min}}, true
	case opThread:
		return bson.D{{Key: mailstore.DocThread, Value: key.min}}, true
	case opAttached:
		return bson.D{{Key: mailstore.DocAttachments, Value: true}}, true
	case opModSeq:
		return field(mailstore.DocModSeq, "$gte", key.min), true
	case opField:
		if strings.IndexByte(key.text, 0) >= 0 {
			return nil, false // a pattern cannot hold NUL
		}
		return bson.D{{Key: "$or", Value: bson.A{containsCond(key),
			field(mailstore.DocTextRules, "$ne", int32(mailstore.TextRules))}}}, false
	}
	return nil, false // only the content can tell
}

// containsCond matches documents whose stored field has the text.
func containsCond(key *Key) bson.D {
	return field(key.field.doc, "$regex", regexp.QuoteMeta(key.text))
}

// wholeCond matches documents whose stored fields are whole.
func wholeCond() bson.D {
	return bson.D{{Key: mailstore.DocTextRules, Value: int32(mailstore.TextRules)}}
}

func field(name, op string, value any) bson.D {
	return bson.D{{Key: name, Value: bson.D{{Key: op, Value: value}}}}
}

func timeCond(name string, from, to time.Time) bson.D {
	var e bson.D
	if !from.IsZero() {
		e = append(e, bson.E{Key: "$gte", Value: bson.NewDateTimeFromTime(from)})
	}
	if !to.IsZero() {
		e = append(e, bson.E{Key: "$lt", Value: bson.NewDateTimeFromTime(to)})
	}
	return bson.D{{Key: name, Value: e}}
}

// uidCond is a condition on the primary key. ranges is not empty.
func uidCond(ranges uidset.Set, box mailkey.Mailbox) bson.D {
	conds := make([]bson.D, len(ranges))
	for i, r := range ranges {
		if r.First == r.Last {
			conds[i] = bson.D{{Key: mailstore.DocID, Value: box.Message(r.First).Binary()}}
			continue
		}
		conds[i] = bson.D{{Key: mailstore.DocID, Value: bson.D{
			{Key: "$gte", Value: box.Message(r.First).Binary()},
			{Key: "$lte", Value: box.Message(r.Last).Binary()},
		}}}
	}
	return joinConds("$or", conds)
}
