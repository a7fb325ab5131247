package api

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// What a client may take of our time and memory. Headers are bounded by the
// server itself (internal/app).
const (
	// stallTime is how long a client may take nothing of an answer: chunkSize
	// must pass in it.
	stallTime = 2 * time.Minute
	chunkSize = 1 << 20
	// bodyTime is how long a client may take to send a body, maxBody its size:
	// the longest are lists of ids.
	bodyTime = 30 * time.Second
	maxBody  = 1 << 20
)

// edge stands before the routes and does what is the same for all: headers for
// browsers, limits, and answers for what is no route.
type edge struct {
	own Service
	mux *http.ServeMux
	// bodyTime is how long a client may take to send a body.
	bodyTime time.Duration
}

func (e edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctl := http.NewResponseController(w)
	out := &patient{w, ctl, stallTime}
	out.extend()
	// An answer without a body is sent after we have returned.
	defer out.extend()
	if r.ContentLength != 0 {
		// Not without a body: the deadline would end the request itself.
		_ = ctl.SetReadDeadline(time.Now().Add(e.bodyTime)) // a recorder in a test has none
		r.Body = &timedBody{http.MaxBytesReader(w, r.Body, maxBody), ctl}
	}
	e.cors(w, r)
	h, pattern := e.mux.Handler(r)
	if pattern != "" {
		e.mux.ServeHTTP(out, r)
		return
	}
	said := verdict{header: make(http.Header)}
	h.ServeHTTP(&said, r)
	switch {
	case said.status != http.StatusMethodNotAllowed:
		writeNoRoute(out)
	case r.Method == http.MethodOptions: // it needs no token (cdr-api 1.13)
		w.Header().Set("Allow", said.header.Get("Allow")+", OPTIONS")
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusOK)
	default:
		w.Header().Set("Allow", said.header.Get("Allow"))
		writeMessage(out, http.StatusMethodNotAllowed, "The method is not allowed for the requested URL.")
	}
}

// verdict keeps what the mux would answer, without the body.
type verdict struct {
	header http.Header
	status int
}

func (v *verdict) Header() http.Header         { return v.header }
func (v *verdict) WriteHeader(status int)      { v.status = status }
func (v *verdict) Write(p []byte) (int, error) { return len(p), nil }

// cors lets pages of any origin use the API, as upstream does (cdr-api 1.3):
// a token is still needed, and browsers send none by themselves.
func (e edge) cors(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	from := r.Header.Get("Origin")
	if from == "" {
		h.Set("Access-Control-Allow-Origin", "*")
		return
	}
	h.Set("Access-Control-Allow-Origin", from)
	h.Add("Vary", "Origin")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return
	}
	h.Set("Access-Control-Allow-Methods", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")
	var allowed []string
	for name := range strings.SplitSeq(r.Header.Get("Access-Control-Request-Headers"), ",") {
		name = strings.TrimSpace(name)
		known := corsHeaders(e.serviceOf(r.URL.Path))
		if i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, name) }); i >= 0 {
			allowed = append(allowed, known[i])
		}
	}
	if len(allowed) > 0 {
		h.Set("Access-Control-Allow-Headers", strings.Join(allowed, ", "))
	}
}

func (e edge) serviceOf(path string) Service {
	for _, s := range Services() {
		if strings.HasPrefix(path, s.published()+"/") {
			return s
		}
	}
	return e.own
}

// corsHeaders are those that pages may send, as each service has them.
func corsHeaders(s Service) []string {
	switch s {
	case Auth:
		return []string{"Content-Type", "Authorization", "X-Auth-Token", "Wazo-Tenant", "Wazo-Session-Type"}
	case CallLogd:
		return []string{"Content-Type", "Range", "X-Auth-Token", "Wazo-Tenant"}
	case Confd, Calld, Webhookd, Websocketd:
	}
	return []string{"Content-Type", "X-Auth-Token", "Wazo-Tenant"}
}

// patient waits for a client as long as it takes something now and then. It
// does not hide the server's way from a file to a connection without copying.
type patient struct {
	http.ResponseWriter
	ctl   *http.ResponseController
	stall time.Duration // how long it may take nothing
}

func (p *patient) extend() {
	_ = p.ctl.SetWriteDeadline(time.Now().Add(p.stall)) // a recorder in a test has none
}

// Unwrap is for http.ResponseController.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p *patient) Write(b []byte) (int, error) {
	p.extend()
	return p.ResponseWriter.Write(b)
}

var _ io.ReaderFrom = (*patient)(nil)

// ReadFrom passes the source on in pieces, each with its own deadline. The
// server knows a file only if it is the bare reader of an io.LimitedReader, so
// one that comes with a limit is taken out of it.
func (p *patient) ReadFrom(src io.Reader) (int64, error) {
	to, ok := p.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{p}, src)
	}
	limited, ok := src.(*io.LimitedReader)
	if !ok {
		limited = &io.LimitedReader{R: src, N: 1<<63 - 1}
	}
	var total int64
	for limited.N > 0 {
		p.extend()
		want := min(limited.N, chunkSize)
		n, err := to.ReadFrom(&io.LimitedReader{R: limited.R, N: want})
		total += n
		limited.N -= n
		if err != nil || n < want {
			return total, err
		}
	}
	return total, nil
}

// timedBody takes the deadline away when the body has come.
type timedBody struct {
	io.ReadCloser
	ctl *http.ResponseController
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.ctl.SetReadDeadline(time.Time{}) // a recorder in a test has none
	}
	return n, err
}
