package httpapi

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"gadwall/internal/config"
)

// schema is a JSON Schema (draft 2020-12, as OpenAPI 3.1 uses it).
type schema map[string]any

// described is a type that says itself what its JSON is.
type described interface{ jsonSchema() schema }

// schemas makes schemas of Go types, by the tags of their fields:
//
//	json       the name; a field with omitempty may be absent
//	doc        the description
//	enum       the words that are possible, separated by commas
//	required   of a request: the field must be there
//
// Structs with a name are components, to which others refer.
type schemas struct {
	components map[string]schema
	// request says that the types are those of requests: fields may be absent unless they are
	// required, and there are no others.
	request bool
}

var (
	describedType = reflect.TypeFor[described]()
	timeType      = reflect.TypeFor[time.Time]()
	rawType       = reflect.TypeFor[json.RawMessage]()
	storageType   = reflect.TypeFor[config.StorageLimit]()
	messagesType  = reflect.TypeFor[config.MessageLimit]()
)

// limitSchema is a limit as package config reads it.
func limitSchema(unit string) schema {
	return schema{"description": "A number of " + unit + `, or "unlimited", or "default".`,
		"anyOf": []schema{{"type": "integer", "minimum": 1}, {"type": "string"}, {"type": "null"}}}
}

// of returns the schema of a type.
func (s *schemas) of(t reflect.Type) schema {
	switch {
	case t.Kind() != reflect.Pointer && t.Implements(describedType):
		return reflect.Zero(t).Interface().(described).jsonSchema()
	case t == timeType:
		return schema{"type": "string", "format": "date-time"}
	case t == rawType:
		return schema{"description": "Any JSON."}
	case t == storageType:
		return limitSchema("octets")
	case t == messagesType:
		return limitSchema("messages")
	}
	switch t.Kind() {
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.String:
		return schema{"type": "string"}
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint32, reflect.Uint64:
		return schema{"type": "integer"}
	case reflect.Float64:
		return schema{"type": "number"}
	case reflect.Pointer:
		inner := s.of(t.Elem())
		if s.request {
			return inner // null is the same as absent, and nobody needs it
		}
		return schema{"anyOf": []schema{inner, {"type": "null"}}}
	case reflect.Slice:
		return schema{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		return s.object(t)
	}
	panic("no schema for " + t.String()) // a test makes the document of all routes
}

// object returns the schema of a struct, or a reference to it.
func (s *schemas) object(t reflect.Type) schema {
	if t.Name() == "" {
		return s.fields(t)
	}
	name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	if _, known := s.components[name]; !known {
		s.components[name] = nil // a type may contain itself
		s.components[name] = s.fields(t)
	}
	return schema{"$ref": "#/components/schemas/" + name}
}

func (s *schemas) fields(t reflect.Type) schema {
	properties, required := schema{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous || !f.IsExported() {
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		property := s.of(f.Type)
		if words := f.Tag.Get("enum"); words != "" {
			word := schema{"type": "string", "enum": strings.Split(words, ",")}
			if property["type"] == "array" {
				property["items"] = word
			} else {
				property = word
			}
		}
		if doc := f.Tag.Get("doc"); doc != "" {
			property["description"] = doc // beside $ref, too: OpenAPI 3.1 allows it
		}
		properties[name] = property
		optional := strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
		if s.request && f.Tag.Get("required") == "true" || !s.request && !optional {
			required = append(required, name)
		}
	}
	result := schema{"type": "object", "properties": properties}
	if len(required) > 0 {
		result["required"] = required
	}
	if s.request {
		result["additionalProperties"] = false
	}
	return result
}
