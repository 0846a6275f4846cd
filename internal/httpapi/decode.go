package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"gadwall/internal/config"
)

// decode reads a JSON body into v, a pointer to a struct. The error says what is wrong with it. What
// the request declares as its type does not matter: curl -d declares a form.
func decode(r *http.Request, v any) error {
	// What is no JSON is refused before the rest of the body comes.
	var read bytes.Buffer
	dec := json.NewDecoder(io.TeeReader(r.Body, &read))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	value := read.Bytes()[:min(dec.InputOffset(), int64(read.Len()))]
	if err == nil {
		if !utf8.Valid(value) { // encoding/json has put other characters, into a password, too
			return refuse(http.StatusBadRequest, "InvalidJSON", "the body is not UTF-8")
		}
		if err := checkNames(value, reflect.TypeOf(v).Elem()); err != nil {
			return err
		}
		if _, err = dec.Token(); err == io.EOF {
			return nil
		}
		err = errors.Join(errTrailing, err)
	}
	var tooLarge *http.MaxBytesError
	var wrongType *json.UnmarshalTypeError
	var limit *config.LimitError
	switch {
	case errors.As(err, &tooLarge):
		return refuse(http.StatusRequestEntityTooLarge, "TooLarge",
			fmt.Sprintf("the body has more than %d octets", tooLarge.Limit))
	case errors.Is(err, errTrailing):
		return refuse(http.StatusBadRequest, "InvalidJSON", "the body has more than one JSON value")
	case errors.As(err, &limit):
		return badField(culprit(value, v) + ": " + limit.Error())
	case errors.As(err, &wrongType) && wrongType.Field == "":
		return badField("the body must be a JSON object")
	case errors.As(err, &wrongType) && wrongType.Type.Kind() == reflect.Struct:
		return badField(wrongType.Field + " must be an object")
	case errors.As(err, &wrongType):
		return badField(fmt.Sprintf("%s must be a %s", wrongType.Field, jsonName(wrongType.Type)))
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		return refuse(http.StatusBadRequest, "UnknownField", "unknown field "+
			strings.TrimPrefix(err.Error(), "json: unknown field "))
	case json.Valid(value):
		return badField(culprit(value, v) + " must be a time of RFC 3339, such as 2026-11-30T12:00:00Z")
	}
	return refuse(http.StatusBadRequest, "InvalidJSON", notJSON(err))
}

// checkNames refuses what encoding/json lets pass: a name that an object has twice, of which a proxy
// may have looked at the other one, and a field whose name has another case than that of the
// document.
func checkNames(body []byte, t reflect.Type) error {
	names := make(map[string]bool)
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names[name] = true
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	// seen has the names of each object that is open; nil for a list.
	var seen []map[string]bool
	isName := false
	for {
		token, err := dec.Token()
		if err != nil {
			return nil // the end: the body was read once
		}
		name, isString := token.(string)
		switch {
		case token == json.Delim('{'):
			seen, isName = append(seen, make(map[string]bool)), true
			continue
		case token == json.Delim('['):
			seen = append(seen, nil)
		case token == json.Delim('}'), token == json.Delim(']'):
			seen = seen[:len(seen)-1]
		case isName && isString:
			open := seen[len(seen)-1]
			switch {
			case open[name]:
				return refuse(http.StatusBadRequest, "InvalidJSON", fmt.Sprintf("the name %q is there twice", name))
			case len(seen) == 1 && !names[name]:
				return refuse(http.StatusBadRequest, "UnknownField", fmt.Sprintf("unknown field %q", name))
			}
			open[name], isName = true, false
			continue
		}
		isName = len(seen) > 0 && seen[len(seen)-1] != nil
	}
}

// culprit returns the name of the first field whose value does not fit; v is as decode has it.
func culprit(body []byte, v any) string {
	var values map[string]json.RawMessage
	if json.Unmarshal(body, &values) != nil {
		return "the body"
	}
	for _, f := range reflect.VisibleFields(reflect.TypeOf(v).Elem()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if value, ok := values[name]; ok && json.Unmarshal(value, reflect.New(f.Type).Interface()) != nil {
			return name
		}
	}
	return "a field"
}

// jsonName is what JSON calls values of a type.
func jsonName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "time of RFC 3339"
	case t.Kind() == reflect.String:
		return "string"
	case t.Kind() == reflect.Bool:
		return "boolean"
	case t.Kind() == reflect.Slice:
		return "list"
	}
	return "number"
}

// notJSON says what was expected, and where the body went wrong.
func notJSON(err error) string {
	const expected = `expected a JSON object such as {"name":"value"}`
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF):
		return expected + "; the body is empty"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return expected + "; the body ends in the middle of one"
	case errors.As(err, &syntax):
		return fmt.Sprintf("%s; octet %d of the body: %s", expected, syntax.Offset, syntax)
	}
	return expected
}

var errTrailing = errors.New("trailing data")
