package api

import (
	"maps"
	"net/http"
	"strconv"
	"strings"
)

// Two descriptions are made of the route table: Swagger 2.0 for each service
// where clients of Wazo look for it, and OpenAPI 3.1 of all of them.

// describeRoutes are the rows of the descriptions. They are about all rows, so
// they are given those.
func (s *Server) describeRoutes(rows []route) []route {
	var out []route
	for _, of := range Services() {
		out = append(out, route{
			service: of, method: "GET", path: "/api/api.yml", summary: "Describe this service (Swagger 2.0)",
			answers: []answerRow{{status: http.StatusOK, about: "The description", media: []string{"application/x-yaml"}}},
			handle: func(w http.ResponseWriter, _ *http.Request, rc request) error {
				// JSON is YAML.
				writeDocument(w, "application/x-yaml", swagger2(rows, of, rc.origin.path(of.version())))
				return nil
			},
		})
	}
	return out
}

// getOpenAPI serves the description of everything.
func (s *Server) getOpenAPI(rows []route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		writeDocument(w, "application/json", openapi31(rows, s.originOf(r, "").path("/")))
	}
}

func writeDocument(w http.ResponseWriter, contentType string, v any) {
	data, err := documentText(v)
	if err != nil {
		// Only maps and texts of ours come here; a failure is a bug.
		writeMessage(w, http.StatusInternalServerError, "Internal Server Error")
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) // the client may be gone, which is its own affair
}

type object = map[string]any

// openapi31 describes all services as they are published.
func openapi31(rows []route, base string) object {
	schemas := newSchemas("#/components/schemas/", true)
	paths := object{}
	for _, rt := range rows {
		path := rt.service.published() + rt.service.version() + rt.plainPath()
		item, ok := paths[path].(object)
		if !ok {
			item = object{}
			paths[path] = item
		}
		item[strings.ToLower(rt.method)] = rt.operation(schemas)
	}
	return object{
		"openapi": "3.1.0",
		"info":    object{"title": "callrecordd", "version": "1.0", "description": "Call detail records and recordings, compatible with Wazo's services."},
		"servers": []any{object{"url": base}},
		"paths":   paths,
		"components": object{
			"schemas":         schemas.all(),
			"securitySchemes": object{"token": object{"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
		},
	}
}

// operation describes a row.
func (rt route) operation(schemas *schemas) object {
	errors := []any{schemas.of(problemJSON{}), schemas.of(messageBody{})}
	if rt.service == Confd { // its errors are texts in a list (auth-and-clients 5)
		errors = append(errors, schemas.of([]string{}))
	}
	responses := object{"default": object{
		"description": "What went wrong",
		"content": object{
			"application/json": object{"schema": object{"anyOf": errors}},
			"text/html":        object{"schema": object{"type": "string"}},
		},
	}}
	for _, a := range rt.answers {
		response := object{"description": a.about}
		if content := a.content(schemas); len(content) > 0 {
			response["content"] = content
		}
		responses[strconv.Itoa(a.status)] = response
	}
	op := object{
		"operationId": rt.operationID(), "summary": rt.summary, "tags": []any{string(rt.service)}, "responses": responses,
	}
	params := make([]any, 0, len(rt.query))
	for _, p := range rt.parameters() {
		schema := p.schema
		if p.list {
			schema = object{"type": "array", "items": schema}
		}
		described := p.head()
		described["schema"] = schema
		if p.list {
			described["style"], described["explode"] = "form", false
		}
		params = append(params, described)
	}
	if len(params) > 0 {
		op["parameters"] = params
	}
	if rt.body != nil {
		op["requestBody"] = object{"content": object{"application/json": object{"schema": schemas.of(rt.body)}}}
	}
	if rt.acl != "" {
		op["security"] = []any{object{"token": []any{}}}
		op["x-required-acl"] = rt.acl
	}
	return op
}

// content are the media types of an answer with their schemas.
func (a answerRow) content(schemas *schemas) object {
	out := object{}
	for _, m := range a.mediaTypes() {
		out[m] = object{"schema": object{"type": "string"}}
		if m == jsonType {
			out[m] = object{"schema": schemas.of(a.body)}
		}
	}
	return out
}

const jsonType = "application/json"

// mediaTypes are those of an answer, JSON first.
func (a answerRow) mediaTypes() []string {
	if a.body == nil {
		return a.media
	}
	return append([]string{jsonType}, a.media...)
}

// operationID names a row in generated clients, such as CallLogdGetCdrByCdrId.
func (rt route) operationID() string {
	var b strings.Builder
	b.WriteString(camel(string(rt.service)) + camel(strings.ToLower(rt.method)))
	for part := range strings.SplitSeq(rt.plainPath(), "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			b.WriteString("By" + camel(strings.TrimSuffix(name, "}")))
		} else {
			b.WriteString(camel(part))
		}
	}
	return b.String()
}

func camel(s string) string {
	var b strings.Builder
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '-' || r == '_' || r == '.' }) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// described is a parameter in either description.
type described struct {
	name, in, about string
	schema          object
	list            bool
}

// head is what both descriptions say alike.
func (d described) head() object {
	out := object{"name": d.name, "in": d.in}
	if d.in == "path" {
		out["required"] = true
	}
	if d.about != "" {
		out["description"] = d.about
	}
	return out
}

// parameters are those in path, query and headers.
func (rt route) parameters() []described {
	var out []described
	for _, v := range rt.values() {
		schema := object{"type": "string"}
		switch v.kind {
		case "int":
			schema = object{"type": "integer", "format": "int64"}
		case "uuid":
			schema["format"] = "uuid"
		}
		out = append(out, described{name: v.name, in: "path", schema: schema})
	}
	for _, p := range rt.query {
		schema := object{"type": "string"}
		switch p.kind {
		case integer, boolean:
			schema["type"] = string(p.kind)
		case datetime, uuidText:
			schema["format"] = string(p.kind)
		case text:
		}
		if len(p.choices) > 0 {
			schema["enum"] = p.choices
		}
		out = append(out, described{name: p.name, in: "query", about: p.about, schema: schema, list: p.array})
	}
	if rt.queryToken {
		out = append(out, described{
			name: "token", in: "query", schema: object{"type": "string"},
			about: "The token, if no header can be sent. It wins over the header.",
		})
	}
	if rt.queryTenant {
		out = append(out, described{
			name: "tenant", in: "query", schema: object{"type": "string", "format": "uuid"},
			about: "The tenant, if no header can be sent. It wins over the header.",
		})
	}
	if rt.acl != "" {
		out = append(out, described{
			name: "Wazo-Tenant", in: "header", schema: object{"type": "string", "format": "uuid"},
			about: "The tenant, if not the token's own.",
		})
	}
	return out
}

// swagger2 describes one service as Wazo's own descriptions do.
func swagger2(rows []route, of Service, base string) object {
	schemas := newSchemas("#/definitions/", false)
	paths := object{}
	for _, rt := range rows {
		if rt.service != of {
			continue
		}
		item, ok := paths[rt.plainPath()].(object)
		if !ok {
			item = object{}
			paths[rt.plainPath()] = item
		}
		item[strings.ToLower(rt.method)] = rt.operation2(schemas)
	}
	return object{
		"swagger":             "2.0",
		"info":                object{"title": "wazo-" + string(of), "version": strings.TrimPrefix(of.version(), "/"), "description": "Served by callrecordd."},
		"basePath":            base,
		"schemes":             []any{"https", "http"},
		"paths":               paths,
		"definitions":         schemas.all(),
		"securityDefinitions": object{"wazo_auth_token": object{"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
	}
}

func (rt route) operation2(schemas *schemas) object {
	responses := object{"default": object{"description": "What went wrong", "schema": schemas.of(problemJSON{})}}
	produces := []any{}
	for _, a := range rt.answers {
		response := object{"description": a.about}
		for i, m := range a.mediaTypes() {
			produces = append(produces, m)
			switch {
			case m == jsonType:
				response["schema"] = schemas.of(a.body)
			case i == 0:
				response["schema"] = object{"type": "file"}
			}
		}
		responses[strconv.Itoa(a.status)] = response
	}
	op := object{
		"operationId": rt.operationID(), "summary": rt.summary, "tags": []any{string(rt.service)}, "responses": responses,
	}
	if len(produces) > 0 {
		op["produces"] = produces
	}
	params := make([]any, 0, len(rt.query))
	for _, p := range rt.parameters() {
		described := p.head()
		if p.list {
			described["type"], described["items"], described["collectionFormat"] = "array", p.schema, "csv"
		} else {
			maps.Copy(described, p.schema)
		}
		params = append(params, described)
	}
	if rt.body != nil {
		op["consumes"] = []any{jsonType}
		params = append(params, object{"name": "body", "in": "body", "schema": schemas.of(rt.body)})
	}
	if len(params) > 0 {
		op["parameters"] = params
	}
	if rt.acl != "" {
		op["security"] = []any{object{"wazo_auth_token": []any{}}}
		op["description"] = "**Required ACL:** `" + rt.acl + "`"
	}
	return op
}
