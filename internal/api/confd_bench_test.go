package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"callrecordd/internal/directory"
)

// big is a directory of 10,000 users and 1,000 groups, made in one go.
func big(t testing.TB) (*confWorld, *bigBook) {
	t.Helper()
	w := newConfWorld(t)
	var plan directory.Contents
	top := w.dir.Book().Master().UUID
	for i := range 10_000 {
		plan.Users = append(plan.Users, directory.User{
			ID: int64(i + 1), UUID: fmt.Sprintf("30000000-0000-4000-8000-%012d", i), TenantUUID: top,
			FirstName: fmt.Sprintf("Zoë %d", i%977), LastName: fmt.Sprintf("Arc %d", i),
			Lines: []directory.Line{{ID: int64(i + 1), Endpoint: fmt.Sprintf("PJSIP/u%d", i), Exten: fmt.Sprint(10000 + i), Context: "users", Main: true}},
		})
	}
	for i := range 1_000 {
		plan.Groups = append(plan.Groups, directory.Group{
			ID: int64(i + 1), UUID: fmt.Sprintf("40000000-0000-4000-8000-%012d", i), TenantUUID: top, Name: fmt.Sprintf("group %d", i),
			Exten: fmt.Sprint(90000 + i), Context: "users",
		})
	}
	plan.Tenants = w.dir.Book().Contents().Tenants
	book := &bigBook{Service: w.dir, contents: plan}
	book.change()
	log := slog.New(slog.DiscardHandler)
	w.server = New(Options{
		Directory: book, Tokens: w.tokens, Now: time.Now, Log: log, Tenants: fakeTenants{top: {top, w.child}},
	}).Handler(Confd)
	return w, book
}

// bigBook has contents that were never stored one by one.
type bigBook struct {
	*directory.Service
	contents directory.Contents
	book     *directory.Book
	changes  int
}

// Book implements Directory.
func (b *bigBook) Book() *directory.Book { return b.book }

// change gives a user another name.
func (b *bigBook) change() {
	b.changes++
	b.contents.Users = slices.Clone(b.contents.Users)
	b.contents.Users[b.changes*7%len(b.contents.Users)].UserField = fmt.Sprint(b.changes)
	b.book = directory.NewBook(b.contents)
}

// blackHole takes an answer as the kernel would, without keeping it.
type blackHole struct {
	header http.Header
	status int
}

func (h *blackHole) Header() http.Header {
	if h.header == nil {
		h.header = make(http.Header)
	}
	return h.header
}
func (h *blackHole) WriteHeader(status int) { h.status = status }
func (h *blackHole) Write(p []byte) (int, error) {
	if h.status == 0 {
		h.status = http.StatusOK
	}
	return len(p), nil
}

// BenchmarkDirectory measures the requests of issue 6's bar, p99 within 20 ms
// with 10,000 users and 1,000 groups: pages, searches and one list of all, each
// tenth after a change of a user.
func BenchmarkDirectory(b *testing.B) {
	w, book := big(b)
	for _, c := range []struct{ name, path string }{
		{"page", "/1.1/users?limit=100&offset=5000&order=lastname"},
		{"all", "/1.1/users"},
		{"search", "/1.1/users?search=zoe%20500&limit=100"},
		{"searchNothing", "/1.1/users?search=nobody"},
		{"groups", "/1.1/groups"},
		{"groupSearch", "/1.1/groups?search=99"},
		{"one", "/1.1/users/30000000-0000-4000-8000-000000009999"},
	} {
		b.Run(c.name, func(b *testing.B) {
			req := httptest.NewRequestWithContext(b.Context(), "GET", c.path, nil)
			req.Header.Set("X-Auth-Token", "all")
			w.ask(b, "GET", c.path, "")
			var times []time.Duration
			for b.Loop() {
				if len(times)%10 == 9 {
					book.change()
				}
				began := time.Now()
				var out blackHole
				w.server.ServeHTTP(&out, req)
				times = append(times, time.Since(began))
				if out.status != http.StatusOK {
					b.Fatal(out.status)
				}
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}
