package api

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"callrecordd/internal/api/apiclient"
)

var update = flag.Bool("update", false, "write the description that the client is generated from")

// checked compares every answer of a test's server with the description: what
// the routes do and what is written of them cannot drift apart.
func checked(t *testing.T, s *Server, h http.Handler) http.Handler {
	t.Helper()
	doc := document(t, s)
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	asText := func(r io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
		data, err := io.ReadAll(r)
		return string(data), err
	}
	for _, media := range []string{"audio/wav", "text/html", "application/x-yaml", "application/zip", eventStream} {
		openapi3filter.RegisterBodyDecoder(media, asText)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.Clone(r.Context())
		if !strings.HasPrefix(asked.URL.Path, "/api/") {
			asked.URL.Path = CallLogd.published() + asked.URL.Path
		}
		asked.URL.RawPath = ""
		route, values, err := router.FindRoute(asked)
		seen := &witness{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(seen, r)
		if err != nil {
			return // no route, HEAD of a GET, or none of the services'
		}
		input := &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: asked, PathParams: values, Route: route},
			Status:                 seen.status, Header: w.Header(), Body: io.NopCloser(&seen.body),
			Options: &openapi3filter.Options{IncludeResponseStatus: true},
		}
		if err := openapi3filter.ValidateResponse(t.Context(), input); err != nil {
			t.Errorf("%s %s answers %d, not as described: %v", r.Method, r.URL, seen.status, err)
		}
	})
}

// witness keeps what is answered.
type witness struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (w *witness) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *witness) Write(p []byte) (int, error) {
	w.body.Write(p)
	return w.ResponseWriter.Write(p)
}

func (w *witness) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// document reads the 3.1 description as a stranger would.
func document(t *testing.T, s *Server) *openapi3.T {
	t.Helper()
	data, err := documentText(openapi31(s.routes(), "/"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestDescription: it is valid, and the client was generated from just this
// one. After a change of the route table:
//
//	go test ./internal/api -run TestDescription -update; go generate ./internal/api/...
func TestDescription(t *testing.T) {
	w := newWorld(t)
	r := w.get("/openapi.json", "X-Auth-Token", "")
	doc, err := openapi3.NewLoader().LoadFromData([]byte(r.body))
	if err != nil || r.status != 200 {
		t.Fatalf("%d %v", r.status, err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	const file = "apiclient/openapi.json"
	if *update {
		if err := os.WriteFile(file, []byte(r.body), 0o644); err != nil { //nolint:gosec // a source
			t.Fatal(err)
		}
		return
	}
	text, err := apiclient.GetSpecJSON()
	if err != nil {
		t.Fatal(err)
	}
	var from, now any
	if err := json.Unmarshal(text, &from); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(r.body), &now); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(now, from); diff != "" {
		t.Errorf("the client is of another description (-now +client), see this test's comment:\n%s", diff)
	}
}

// TestSwagger reads each service's own description, with and without a proxy.
func TestSwagger(t *testing.T) {
	w := newWorld(t)
	for _, of := range Services() {
		for _, c := range []struct {
			prefix, base string
			header       []string
		}{
			{of.published(), of.published(), nil},
			{of.published(), "/pbx" + of.published(), []string{"X-Script-Name", "/pbx"}},
		} {
			r := w.get(c.prefix+of.version()+"/api/api.yml", append(c.header, "X-Auth-Token", "")...)
			if r.status != 200 || r.header.Get("Content-Type") != "application/x-yaml" {
				t.Fatalf("%s: %d %s", of, r.status, r.body)
			}
			var tree map[string]any
			if err := yaml.Unmarshal([]byte(r.body), &tree); err != nil {
				t.Fatalf("%s: %v", of, err)
			}
			data, err := json.Marshal(tree)
			if err != nil {
				t.Fatal(err)
			}
			var doc openapi2.T
			if err := json.Unmarshal(data, &doc); err != nil {
				t.Fatalf("%s: %v", of, err)
			}
			if doc.Swagger != "2.0" || doc.BasePath != c.base+of.version() || len(doc.Paths) == 0 {
				t.Errorf("%s: %s, base %s, %d paths", of, doc.Swagger, doc.BasePath, len(doc.Paths))
			}
		}
	}
	if r := w.get("/1.0/api/api.yml", "X-Auth-Token", ""); r.status != 200 || !strings.Contains(r.body, `"basePath": "/1.0"`) {
		t.Errorf("at the service's own port: %d", r.status)
	}
}

// TestGeneratedClient uses a client that another's generator has made of the
// description: it compiles, and understands the answers.
func TestGeneratedClient(t *testing.T) {
	w := newWorld(t)
	w.recorded("ready", "RIFFdata")
	w.cdrs.items, w.cdrs.total, w.cdrs.filtered = w.cdrs.records[:1], 1, 1
	client, err := apiclient.NewClientWithResponses(w.url, apiclient.WithRequestEditorFn(
		func(_ context.Context, r *http.Request) error { r.Header.Set("X-Auth-Token", "child"); return nil },
	))
	if err != nil {
		t.Fatal(err)
	}
	list, err := client.CallLogdGetCdrWithResponse(t.Context(), nil)
	if err != nil || list.JSON200 == nil || len(list.JSON200.Items) != 1 || list.JSON200.Items[0].Id != 7 {
		t.Fatalf("list: %v %s", err, list.Body)
	}
	rec := uuid.MustParse(list.JSON200.Items[0].Recordings[0].Uuid)
	media, err := client.CallLogdGetCdrByCdrIdRecordingsByRecordingUuidMediaWithResponse(t.Context(), 7, rec, nil)
	if err != nil || media.StatusCode() != 200 || string(media.Body) != "RIFFdata" {
		t.Errorf("media: %v %s", err, media.Body)
	}
	link, err := client.CallLogdPostCdrByCdrIdRecordingsByRecordingUuidMediaLinkWithResponse(t.Context(), 7, rec, nil)
	if err != nil || link.JSON201 == nil || !strings.HasPrefix(link.JSON201.Url, w.url+"/api/call-logd/1.0/links/") {
		t.Errorf("link: %v %s", err, link.Body)
	}
	none, err := client.CallLogdGetCdrByCdrIdWithResponse(t.Context(), 9, nil)
	if err != nil || none.StatusCode() != 404 || none.JSONDefault == nil {
		t.Fatalf("no such CDR: %v %s", err, none.Body)
	}
	problem, err := none.JSONDefault.AsProblem()
	if err != nil || problem.ErrorId != "cdr-not-found-with-given-id" {
		t.Errorf("no such CDR: %v %+v", err, problem)
	}
}
