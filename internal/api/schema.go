package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"
)

// schemas are JSON schemas of Go types, made from the types that are really
// sent. Structs get names and are referred to.
type schemas struct {
	base string
	// null: a value may be null by its type (3.1); else by an extension.
	null  bool
	named object
}

func newSchemas(base string, null bool) *schemas { return &schemas{base, null, object{}} }

// all are the structs by name.
func (s *schemas) all() object { return s.named }

// of is the schema of a value's type.
func (s *schemas) of(v any) object { return s.typed(reflect.TypeOf(v)) }

func (s *schemas) typed(t reflect.Type) object {
	if t == nil || t.Kind() == reflect.Interface {
		return object{}
	}
	if t == reflect.TypeFor[time.Time]() {
		return object{"type": "string", "format": "date-time"}
	}
	if t == reflect.TypeFor[json.RawMessage]() {
		return object{} // any JSON
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.nullable(s.typed(t.Elem()))
	case reflect.Struct:
		return s.structure(t)
	case reflect.Slice, reflect.Array:
		return object{"type": "array", "items": s.typed(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.typed(t.Elem())}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer", "format": "int64"}
	default: // channels and functions cannot be sent
		return object{}
	}
}

func (s *schemas) nullable(schema object) object {
	switch kind, ok := schema["type"].(string); {
	case !s.null && ok:
		schema["x-nullable"] = true
	case ok:
		schema["type"] = []any{kind, "null"}
	case s.null && len(schema) > 0:
		return object{"anyOf": []any{schema, object{"type": "null"}}}
	}
	return schema
}

// structure describes a struct once and returns a reference to it.
func (s *schemas) structure(t reflect.Type) object {
	name := schemaName(t)
	if _, there := s.named[name]; name != "" && there {
		return object{"$ref": s.base + name}
	}
	properties, required := object{}, []string{}
	described := object{"type": "object", "properties": properties}
	if name != "" {
		s.named[name] = described // before its fields, which may refer to it
	}
	for _, f := range reflect.VisibleFields(t) {
		tag := f.Tag.Get("json")
		key, options, _ := strings.Cut(tag, ",")
		if !f.IsExported() || f.Anonymous || key == "-" {
			continue
		}
		if key == "" {
			key = f.Name
		}
		properties[key] = s.typed(f.Type)
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
			required = append(required, key)
		}
	}
	if len(required) > 0 {
		described["required"] = required
	}
	if name == "" {
		return described
	}
	return object{"$ref": s.base + name}
}

// schemaName makes Cdr of cdrJSON; a struct without a name has none.
func schemaName(t reflect.Type) string {
	name := strings.TrimSuffix(t.Name(), "JSON")
	if name == "" {
		return ""
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

func documentText(v any) ([]byte, error) {
	data, err := json.MarshalIndent(v, "", " ")
	return append(data, '\n'), err
}
