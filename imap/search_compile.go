package imap

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// searchPlan is a search, divided: what the database finds by UIDs and filter
// is exact, or else a superset of the answer whose members residual tells
// apart.
type searchPlan struct {
	uids     uidset.Set // never nil
	filter   bson.D     // nil: all of uids
	residual *searchKey // nil: exact
}

// compileSearch turns a search of the messages of scope (which holds the whole
// view) into one database filter. It is a pure function.
//
// Sets of UIDs at the top become ranges of the primary key. Everything else is
// a condition on a field of the message's document, nested as written, except
// for what only the content can tell (BODY, TEXT, other header fields, and what
// a stored field might have held where it was cut): an AND loses that part,
// and an OR with such a part counts as no condition. They come back whole in
// residual.
func compileSearch(key *searchKey, box mailkey.Mailbox, scope uidset.Set) searchPlan {
	key = key.simplify(false)
	if key.nothing() || len(scope) == 0 {
		return searchPlan{uids: uidset.Set{}}
	}
	kids := []*searchKey{key}
	if key.op == searchAnd {
		kids = key.kids
	}
	plan := searchPlan{uids: scope}
	var rest []*searchKey
	var conds []bson.D
	for _, kid := range kids {
		switch {
		case kid.op == searchUIDs:
			plan.uids = plan.uids.Intersect(kid.uids)
			continue
		case kid.op == searchNot && kid.kids[0].op == searchUIDs:
			plan.uids = plan.uids.Subtract(kid.kids[0].uids)
			continue
		}
		cond, exact := compileKey(kid, box)
		if cond != nil {
			conds = append(conds, cond)
		}
		if !exact {
			rest = append(rest, kid)
		}
	}
	plan.filter = joinConds("$and", conds)
	if len(rest) > 0 {
		plan.residual = allOf(rest...)
	}
	return plan
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
func compileKey(key *searchKey, box mailkey.Mailbox) (cond bson.D, exact bool) {
	switch key.op {
	case searchAnd, searchOr:
		return compileNested(key, box)
	case searchNot:
		return compileNegated(key.kids[0], box)
	}
	return compileLeaf(key, box)
}

func compileNested(key *searchKey, box mailkey.Mailbox) (bson.D, bool) {
	conds := make([]bson.D, 0, len(key.kids))
	allExact := true
	for _, kid := range key.kids {
		cond, exact := compileKey(kid, box)
		if cond == nil && key.op == searchOr {
			return nil, false
		}
		if cond != nil {
			conds = append(conds, cond)
		}
		allExact = allExact && exact
	}
	if key.op == searchAnd {
		return joinConds("$and", conds), allExact
	}
	return joinConds("$or", conds), allExact
}

// compileNegated compiles NOT of a leaf.
func compileNegated(leaf *searchKey, box mailkey.Mailbox) (bson.D, bool) {
	if leaf.op == searchFlag {
		return mailstore.FlagFilter(leaf.flag, false), true
	}
	cond, exact := compileLeaf(leaf, box)
	switch {
	case leaf.op == searchField && cond != nil:
		// What is found in a cut field would be found in the whole one.
		return bson.D{{Key: "$nor", Value: bson.A{containsCond(leaf)}}}, false
	case !exact:
		return nil, false
	}
	return bson.D{{Key: "$nor", Value: bson.A{cond}}}, true
}

// compileLeaf compiles a key that is no combination of others.
func compileLeaf(key *searchKey, box mailkey.Mailbox) (bson.D, bool) {
	switch key.op {
	case searchUIDs:
		if len(key.uids) > maxFilterRanges {
			return nil, false
		}
		return uidCond(key.uids, box), true
	case searchFlag:
		return mailstore.FlagFilter(key.flag, true), true
	case searchKeyword:
		return mailstore.KeywordFilter(key.name), true
	case searchInternal:
		return timeCond(mailstore.DocInternalDate, key.from, key.to), true
	case searchSent:
		return timeCond(mailstore.DocSentDay, key.from, key.to), true
	case searchSize:
		var e bson.D
		if key.min > 0 {
			e = append(e, bson.E{Key: "$gte", Value: key.min})
		}
		if key.max < maxSize || e == nil {
			e = append(e, bson.E{Key: "$lte", Value: key.max})
		}
		return bson.D{{Key: mailstore.DocSize, Value: e}}, true
	case searchModSeq:
		return field(mailstore.DocModSeq, "$gte", key.min), true
	case searchField:
		if strings.IndexByte(key.text, 0) >= 0 {
			return nil, false // a pattern cannot hold NUL
		}
		return bson.D{{Key: "$or", Value: bson.A{containsCond(key), longCond(key.field)}}}, false
	}
	return nil, false // only the content can tell
}

// containsCond is that a stored field holds the text.
func containsCond(key *searchKey) bson.D {
	return field(key.field.doc, "$regex", regexp.QuoteMeta(key.text))
}

// longCond is that a stored field may have been cut. It is written so that
// every dialect of regular expressions takes it.
func longCond(f storedField) bson.D {
	const most = 1000 // repetitions
	pattern := "^"
	for n := f.mayBeCut(); n > 0; n -= most {
		pattern += fmt.Sprintf(`[\s\S]{%d}`, min(n, most))
	}
	return field(f.doc, "$regex", pattern)
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
