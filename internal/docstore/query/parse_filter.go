package query

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// ParseFilter parses a query filter. An empty or nil document matches every document.
func ParseFilter(raw bson.Raw) (*Filter, error) {
	if len(raw) == 0 {
		return &Filter{}, nil
	}
	root, err := parseFilter(raw, 1)
	if err != nil {
		return nil, err
	}
	f := &Filter{root: *root}
	return f, f.prepare()
}

func tooDeep() error {
	return mongoerr.New(mongoerr.BadValue, "exceeded maximum query tree depth of %d", MaxFilterDepth)
}

func parseFilter(doc []byte, depth int) (*and, error) {
	if depth > MaxFilterDepth {
		return nil, tooDeep()
	}
	out := &and{}
	it := rawdoc.Over(doc)
	for it.Next() {
		name, v := string(it.Key()), it.Value()
		n, err := parseCondition(name, v, depth)
		if err != nil {
			return nil, err
		}
		if n != nil {
			out.add(n)
		}
	}
	if it.Bad() {
		return nil, mongoerr.New(mongoerr.InvalidBSON, "invalid BSON in a filter")
	}
	return out, nil
}

// parseCondition parses one element of a filter; nil for one that says nothing.
func parseCondition(name string, v bson.RawValue, depth int) (node, error) {
	switch name {
	case "$comment":
		return nil, nil
	case "$and":
		kids, err := parseList(name, v, depth)
		if err != nil {
			return nil, err
		}
		all := &and{}
		for _, k := range kids {
			all.add(k)
		}
		return all, nil
	case "$or", "$nor":
		kids, err := parseList(name, v, depth)
		switch {
		case err != nil:
			return nil, err
		case name == "$nor":
			return &not{&or{kids: kids}}, nil
		case len(kids) == 1:
			return kids[0], nil
		}
		return &or{kids: kids}, nil
	}
	if len(name) > 0 && name[0] == '$' {
		return nil, mongoerr.New(mongoerr.BadValue,
			"unknown top level operator: %s. If you have a field name that starts "+
				"with a '$' symbol, consider using $getField or $setField.", name)
	}
	steps := splitPath(name)
	if len(steps) > MaxPathSteps {
		return nil, mongoerr.New(mongoerr.Overflow, "FieldPath is too long")
	}
	o, err := parsePredicate(name, v, depth)
	if err != nil {
		return nil, err
	}
	return o.at(name, steps), nil
}

func parseList(name string, v bson.RawValue, depth int) ([]node, error) {
	if v.Type != bson.TypeArray {
		return nil, mongoerr.New(mongoerr.BadValue, "%s must be an array", name)
	}
	var kids []node
	for it := rawdoc.Over(v.Value); it.Next(); {
		if it.Type() != bson.TypeEmbeddedDocument {
			return nil, mongoerr.New(mongoerr.BadValue, "$or/$and/$nor entries need to be full objects")
		}
		kid, err := parseFilter(it.Value().Value, depth+1)
		if err != nil {
			return nil, err
		}
		if len(kid.kids) == 1 {
			kids = append(kids, kid.kids[0])
		} else {
			kids = append(kids, kid)
		}
	}
	if len(kids) == 0 {
		return nil, mongoerr.New(mongoerr.BadValue, "$and/$or/$nor must be a nonempty array")
	}
	return kids, nil
}

// parsePredicate parses what stands beside a field name: operators, a regular expression or a
// value.
func parsePredicate(path string, v bson.RawValue, depth int) (*op, error) {
	switch {
	case isOperators(v):
		return parseOperators(path, v.Value, depth+1)
	case v.Type == bson.TypeRegex:
		r, err := regexOf(v)
		return &op{pred: r}, err
	}
	return parseEq(v)
}

func parseEq(v bson.RawValue) (*op, error) {
	if v.Type == bson.TypeUndefined {
		return nil, mongoerr.New(mongoerr.BadValue, "cannot compare to undefined")
	}
	return &op{pred: newComparison(relEq, v)}, nil
}

// isOperators reports whether v is a document whose first field is an operator. A database
// reference is not: it has $ref and $id.
func isOperators(v bson.RawValue) bool {
	if v.Type != bson.TypeEmbeddedDocument || !startsWithDollar(v.Value) {
		return false
	}
	return rawdoc.IsMissing(rawdoc.Get(v.Value, "$ref")) || rawdoc.IsMissing(rawdoc.Get(v.Value, "$id"))
}

func parseOperators(path string, doc []byte, depth int) (*op, error) {
	if depth > MaxFilterDepth {
		return nil, tooDeep()
	}
	var ops []*op
	regexDone := false
	it := rawdoc.Over(doc)
	for it.Next() {
		name, v := string(it.Key()), it.Value()
		var o *op
		var err error
		switch name {
		case "$regex", "$options":
			if regexDone {
				continue
			}
			regexDone = true
			o, err = parseRegex(doc)
		default:
			o, err = parseOperator(path, name, v, depth)
		}
		if err != nil {
			return nil, err
		}
		ops = append(ops, o)
	}
	if it.Bad() {
		return nil, mongoerr.New(mongoerr.InvalidBSON, "invalid BSON in a filter")
	}
	if len(ops) == 1 {
		return ops[0], nil
	}
	return &op{kids: ops}, nil
}

var relations = map[string]relation{"$lt": relLt, "$lte": relLte, "$gt": relGt, "$gte": relGte}

var bitsModes = map[string]bitsMode{
	"$bitsAllSet": bitsAllSet, "$bitsAllClear": bitsAllClear, "$bitsAnySet": bitsAnySet, "$bitsAnyClear": bitsAnyClear,
}

func parseOperator(path, name string, v bson.RawValue, depth int) (*op, error) {
	switch name {
	case "$eq":
		return parseEq(v)
	case "$ne":
		if v.Type == bson.TypeRegex {
			return nil, mongoerr.New(mongoerr.BadValue, "Can't have regex as arg to $ne.")
		}
		return negated(parseEq(v))
	case "$lt", "$lte", "$gt", "$gte":
		if v.Type == bson.TypeRegex {
			return nil, mongoerr.New(mongoerr.BadValue, "Can't have RegEx as arg to predicate over field '%s'.", path)
		}
		if v.Type == bson.TypeUndefined {
			return nil, mongoerr.New(mongoerr.BadValue, "cannot compare to undefined")
		}
		return &op{pred: newComparison(relations[name], v)}, nil
	case "$in":
		return parseIn(name, v)
	case "$nin":
		return negated(parseIn(name, v))
	case "$not":
		return parseNot(path, v, depth)
	case "$exists":
		return &op{pred: exists{}, negate: !rawdoc.Truthy(v)}, nil
	case "$type":
		return parseType(v)
	case "$size":
		n, problem := nonNegative(v)
		if problem != "" {
			return nil, mongoerr.New(mongoerr.BadValue, "Failed to parse $size. %s in: $size: %s", problem, v)
		}
		return &op{pred: sized(n), whole: true}, nil
	case "$mod":
		return parseMod(v)
	case "$all":
		return parseAll(path, v, depth)
	case "$elemMatch":
		return parseElemMatch(path, v, depth)
	case "$bitsAllSet", "$bitsAllClear", "$bitsAnySet", "$bitsAnyClear":
		b, err := parseBits(bitsModes[name], name, v)
		return &op{pred: b}, err
	}
	return nil, mongoerr.New(mongoerr.BadValue, "unknown operator: %s", name)
}

func negated(o *op, err error) (*op, error) {
	if err != nil {
		return nil, err
	}
	if o.negate {
		return &op{kids: []*op{o}, negate: true}, nil
	}
	o.negate = true
	return o, nil
}

func parseIn(name string, v bson.RawValue) (*op, error) {
	if v.Type != bson.TypeArray {
		return nil, mongoerr.New(mongoerr.BadValue, "%s needs an array", name)
	}
	var vals []bson.RawValue
	var regexes []*regex
	for it := rawdoc.Over(v.Value); it.Next(); {
		item := it.Value()
		switch {
		case isOperators(item):
			return nil, mongoerr.New(mongoerr.BadValue, "cannot nest $ under %s", name)
		case item.Type == bson.TypeUndefined:
			return nil, mongoerr.New(mongoerr.BadValue, "cannot compare to undefined")
		case item.Type == bson.TypeRegex:
			r, err := regexOf(item)
			if err != nil {
				return nil, err
			}
			regexes = append(regexes, r)
		default:
			vals = append(vals, item)
		}
	}
	return &op{pred: newOneOf(vals, regexes)}, nil
}

func parseNot(path string, v bson.RawValue, depth int) (*op, error) {
	if v.Type == bson.TypeRegex {
		r, err := regexOf(v)
		return &op{pred: r, negate: true}, err
	}
	if v.Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(mongoerr.BadValue, "$not needs a regex or a document")
	}
	it := rawdoc.Over(v.Value)
	if !it.Next() {
		return nil, mongoerr.New(mongoerr.BadValue, "$not cannot be empty")
	}
	return negated(parseOperators(path, v.Value, depth+1))
}

func parseMod(v bson.RawValue) (*op, error) {
	if v.Type != bson.TypeArray {
		return nil, mongoerr.New(mongoerr.BadValue, "malformed mod, needs to be an array")
	}
	var nums []int64
	for it := rawdoc.Over(v.Value); it.Next(); {
		what := "divisor"
		switch len(nums) {
		case 1:
			what = "remainder"
		case 2:
			return nil, mongoerr.New(mongoerr.BadValue, "malformed mod, too many elements")
		}
		if !rawdoc.IsNumber(it.Value()) {
			return nil, mongoerr.New(mongoerr.BadValue, "malformed mod, %s not a number", what)
		}
		n, ok := truncated(it.Value())
		if !ok {
			return nil, mongoerr.New(mongoerr.BadValue, "malformed mod, %s value is invalid", what)
		}
		nums = append(nums, n)
	}
	switch {
	case len(nums) < 2:
		return nil, mongoerr.New(mongoerr.BadValue, "malformed mod, not enough elements")
	case nums[0] == 0:
		return nil, mongoerr.New(mongoerr.BadValue, "divisor cannot be 0")
	}
	return &op{pred: modulo{nums[0], nums[1]}}, nil
}

func parseAll(path string, v bson.RawValue, depth int) (*op, error) {
	if v.Type != bson.TypeArray {
		return nil, mongoerr.New(mongoerr.BadValue, "$all needs an array")
	}
	all := &op{}
	elemMatches := 0
	for it := rawdoc.Over(v.Value); it.Next(); {
		item := it.Value()
		var o *op
		var err error
		switch {
		case isOperators(item):
			sub := rawdoc.Over(item.Value)
			sub.Next()
			if string(sub.Key()) != "$elemMatch" {
				return nil, mongoerr.New(mongoerr.BadValue, "no $ expressions in $all")
			}
			elemMatches++
			o, err = parseElemMatch(path, sub.Value(), depth)
			if err == nil && sub.Next() {
				err = mongoerr.New(mongoerr.BadValue, "$all/$elemMatch has to be consistent")
			}
		default:
			o, err = parsePredicate(path, item, depth)
		}
		if err != nil {
			return nil, err
		}
		all.kids = append(all.kids, o)
	}
	switch {
	case len(all.kids) == 0: // $all of nothing matches nothing
		return &op{pred: newOneOf(nil, nil)}, nil
	case elemMatches > 0 && elemMatches < len(all.kids):
		if isElemMatch(all.kids[0]) {
			return nil, mongoerr.New(mongoerr.BadValue, "$all/$elemMatch has to be consistent")
		}
		return nil, mongoerr.New(mongoerr.BadValue, "no $ expressions in $all")
	case len(all.kids) == 1:
		return all.kids[0], nil
	}
	return all, nil
}

func isElemMatch(o *op) bool {
	switch o.pred.(type) {
	case *elemMatchObject, *elemMatchValue:
		return true
	}
	return false
}

func parseElemMatch(path string, v bson.RawValue, depth int) (*op, error) {
	if v.Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(mongoerr.BadValue, "$elemMatch needs an Object")
	}
	if isOperators(v) {
		it := rawdoc.Over(v.Value)
		it.Next()
		switch string(it.Key()) {
		case "$and", "$or", "$nor", "$where": // a filter on elements that are objects
		default:
			all, err := parseOperators(path, v.Value, depth+1)
			return &op{pred: &elemMatchValue{all}, whole: true}, err
		}
	}
	f, err := parseFilter(v.Value, depth+1)
	return &op{pred: &elemMatchObject{f}, whole: true}, err
}

func parseRegex(doc []byte) (*op, error) {
	pattern, options := rawdoc.Get(doc, "$regex"), rawdoc.Get(doc, "$options")
	var p, o string
	switch pattern.Type {
	case 0:
		return nil, mongoerr.New(mongoerr.BadValue, "$options needs a $regex")
	case bson.TypeString, bson.TypeSymbol:
		p = string(rawdoc.String(pattern))
	case bson.TypeRegex:
		pb, ob := rawdoc.Regex(pattern)
		p, o = string(pb), string(ob)
	default:
		return nil, mongoerr.New(mongoerr.BadValue, "$regex has to be a string")
	}
	if !rawdoc.IsMissing(options) {
		if options.Type != bson.TypeString {
			return nil, mongoerr.New(mongoerr.BadValue, "$options has to be a string")
		}
		if o != "" {
			code := mongoerr.RegexThenOptions
			if it := rawdoc.Over(doc); it.Next() && string(it.Key()) == "$options" {
				code = mongoerr.OptionsThenRegex
			}
			return nil, mongoerr.New(code, "options set in both $regex and $options")
		}
		o = string(rawdoc.String(options))
	}
	r, err := newRegex(p, o)
	return &op{pred: r}, err
}

func regexOf(v bson.RawValue) (*regex, error) {
	p, o := rawdoc.Regex(v)
	return newRegex(string(p), string(o))
}

func parseType(v bson.RawValue) (*op, error) {
	set := &hasType{}
	if v.Type != bson.TypeArray {
		return &op{pred: set}, set.include(v)
	}
	n := 0
	for it := rawdoc.Over(v.Value); it.Next(); n++ {
		if err := set.include(it.Value()); err != nil {
			return nil, err
		}
	}
	if n == 0 {
		return nil, mongoerr.New(mongoerr.FailedToParse, "$type must match at least one type")
	}
	return &op{pred: set}, nil
}

var typesByName = func() map[string]bson.Type {
	m := map[string]bson.Type{}
	for t := 1; t < 256; t++ {
		if isType(int64(int8(t))) {
			m[rawdoc.TypeName(bson.Type(t))] = bson.Type(t)
		}
	}
	return m
}()

func isType(n int64) bool { return n >= 1 && n <= 19 || n == -1 || n == 127 }

// include adds a type given by number or name.
func (h *hasType) include(v bson.RawValue) error {
	if v.Type == bson.TypeString {
		name := string(rawdoc.String(v))
		if name == "number" {
			for _, t := range []bson.Type{bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128} {
				h[byte(t)] = true
			}
			return nil
		}
		t, ok := typesByName[name]
		if !ok {
			return mongoerr.New(mongoerr.BadValue, "Unknown type name alias: %s", name)
		}
		h[byte(t)] = true
		return nil
	}
	if !rawdoc.IsNumber(v) {
		return mongoerr.New(mongoerr.TypeMismatch, "type must be represented as a number or a string")
	}
	n, ok := rawdoc.Integer(v)
	if !ok || !isType(n) {
		return mongoerr.New(mongoerr.BadValue, "Invalid numerical type code: %s", v)
	}
	h[byte(n)] = true
	return nil
}
