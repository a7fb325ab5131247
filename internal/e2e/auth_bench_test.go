package e2e

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"callrecordd/internal/api"
	"callrecordd/internal/app"
	"callrecordd/internal/auth"
	"callrecordd/store"
)

// nobodyAsks is the route without authentication: whatever token is sent, it is
// taken for one that may do everything.
type nobodyAsks struct{ token auth.Token }

func (n nobodyAsks) Check(context.Context, string) (auth.Token, error) { return n.token, nil }

// oneTenant is a tree of one tenant.
type oneTenant string

func (o oneTenant) Visible(string) []string { return []string{string(o)} }
func (o oneTenant) Master() string          { return string(o) }

// BenchmarkGetCDRWithToken is issue 6's bar for what authentication costs a
// request: GET /cdr/{id} of a real database with a token and its ACL checked,
// ÷ the same without, each request on a connection of its own as Wazo's clients
// send them. Both servers are up and take turns; the bar is 0.7.
func BenchmarkGetCDRWithToken(b *testing.B) {
	v := newVault(b)
	tenant := v.tenant("")
	v.put(made{id: 1, tenant: tenant, recordings: 1, from: "Alice", to: "Bob"})
	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(b.Context(), store.Options{Path: v.cfg.State.Database(), Now: time.Now, Log: log})
	must(b, err)
	b.Cleanup(func() { must(b, st.Close()) })
	tokens := auth.New(st, time.Now, uuid.NewString)
	acl := []string{"!call-logd.config.#"}
	for i := range 60 { // as much as an account with all default policies has
		acl = append(acl, fmt.Sprintf("service%d.users.me.*.read", i))
	}
	secret, token, err := tokens.Create(b.Context(), "bench", auth.Request{TenantUUID: tenant, ACL: append(acl, "call-logd.cdr.*.read")})
	must(b, err)
	token.ACL = []string{"#"}
	server := func(t api.Tokens) string {
		s := httptest.NewServer(api.New(api.Options{
			CDRs: app.CDRs(st), Tokens: t, Tenants: oneTenant(tenant), Now: time.Now, Log: log,
		}).Handler(api.CallLogd))
		b.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	with, without := server(tokens), server(nobodyAsks{token})
	rate := func(host string) float64 {
		const clients, each = 4, 250
		begun := time.Now()
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				for range each {
					if err := getOnce(b.Context(), host, "/1.0/cdr/1", secret.Reveal()); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		return clients * each / time.Since(begun).Seconds()
	}
	rate(with) // warm
	rate(without)
	var ratios, rates []float64
	for b.Loop() {
		one, other := rate(with), rate(without)
		ratios, rates = append(ratios, one/other), append(rates, one)
	}
	slices.Sort(ratios)
	slices.Sort(rates)
	b.ReportMetric(ratios[len(ratios)/2], "with/without")
	b.ReportMetric(rates[len(rates)/2], "requests/s")
	b.ReportMetric(0, "ns/op")
}

// getOnce is a request on a connection of its own, with as little work of the
// client as can be.
func getOnce(ctx context.Context, host, path, token string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nX-Auth-Token: %s\r\nAccept: application/json\r\n\r\n", path, host, token); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err == nil && !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
		err = fmt.Errorf("answer %q", answer)
	}
	return err
}
