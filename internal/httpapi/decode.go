package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"gadwall/internal/config"
)

// decode reads a JSON body into v. The error says what is wrong with it. What the request declares
// as its type does not matter: curl -d declares a form.
func decode(r *http.Request, v any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		if _, err = dec.Token(); err == io.EOF {
			return nil
		}
		err = errors.Join(errTrailing, err)
	}
	var tooLarge *http.MaxBytesError
	var wrongType *json.UnmarshalTypeError
	var limit *config.LimitError
	switch {
	case errors.As(err, &limit):
		return badField(limit.Error())
	case errors.As(err, &tooLarge):
		return refuse(http.StatusRequestEntityTooLarge, "TooLarge",
			fmt.Sprintf("the body has more than %d octets", tooLarge.Limit))
	case errors.As(err, &wrongType) && wrongType.Field == "":
		return badField("the body must be a JSON object")
	case errors.As(err, &wrongType) && wrongType.Type.Kind() == reflect.Struct:
		return badField(wrongType.Field + " must be an object")
	case errors.As(err, &wrongType):
		return badField(fmt.Sprintf("%s must be a %s", wrongType.Field, jsonName(wrongType.Type)))
	case errors.Is(err, errTrailing):
		return refuse(http.StatusBadRequest, "InvalidJSON", "the body has more than one JSON value")
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		return refuse(http.StatusBadRequest, "UnknownField", "unknown field "+
			strings.TrimPrefix(err.Error(), "json: unknown field "))
	}
	return refuse(http.StatusBadRequest, "InvalidJSON", notJSON(err))
}

// jsonName is what JSON calls values of a type.
func jsonName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Slice:
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
