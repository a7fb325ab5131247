package app

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"callrecordd/ari"
	"callrecordd/config"
	"callrecordd/internal/api"
	"callrecordd/internal/auth"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/internal/recorder"
)

// listener is an address of the API with the service at home there.
type listener struct {
	net.Listener
	service api.Service
	tls     bool
}

// place is where a service listens.
type place struct {
	key       string
	service   api.Service
	addresses []string
	tls       bool
}

func places(c config.HTTP) []place {
	return []place{
		{"http.listen", api.CallLogd, c.Listen, false},
		{"http.listen_auth", api.Auth, c.ListenAuth, false},
		{"http.listen_confd", api.Confd, c.ListenConfd, false},
		{"http.listen_calld", api.Calld, c.ListenCalld, false},
		{"http.listen_webhookd", api.Webhookd, c.ListenWebhookd, false},
		{"http.listen_websocketd", api.Websocketd, c.ListenWebsocketd, false},
		{"http.listen_tls", "", c.ListenTLS, true},
	}
}

// bind opens all addresses and the control socket.
func (a *App) bind(ctx context.Context) error {
	given := inherited(a.opt.Inherited)
	for _, place := range places(a.opt.Config.HTTP) {
		for _, address := range place.addresses {
			l, err := given.listen(ctx, address)
			if err != nil {
				return fmt.Errorf("%s %s: %w", place.key, address, err)
			}
			a.listeners = append(a.listeners, listener{l, place.service, place.tls})
			a.stack.push("listener "+l.Addr().String(), closeListener(l))
		}
	}
	for _, l := range given {
		a.log.Warn("the service manager hands over an address that the configuration does not name", "address", l.Addr())
		if err := l.Close(); err != nil {
			return fmt.Errorf("close %s, which nobody serves: %w", l.Addr(), err)
		}
	}
	var err error
	if len(a.opt.Config.HTTP.ListenTLS) > 0 {
		c := a.opt.Config.HTTP
		key, err := c.CertificateKeyFile()
		if err != nil {
			return err
		}
		if a.certs, err = newCertificates(c.Certificate, key, a.log.With("part", "https")); err != nil {
			return err
		}
	}
	if a.control, err = control.Listen(ctx, a.opt.Config.State.Socket); err != nil {
		return err
	}
	a.stack.push("control socket", closeListener(a.control))
	return nil
}

// closeListener is for a start that fails before the listener is served; a
// server that was shut down has closed it already.
func closeListener(l net.Listener) func(context.Context) error {
	return func(context.Context) error {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

// serveAll answers on all of them.
func (a *App) serveAll() error {
	server := api.New(api.Options{
		CDRs: apiCDRs{a.store}, Tokens: a.tokens, Tenants: apiTenants{a.directory},
		Keep: a.keeping.api(), Why: a.decided(), Audit: apiAudit{a.audits},
		Note: func(ctx context.Context, e recorder.Event) error { return a.store.AppendEvents(ctx, e) },
		Root: a.opt.Config.Recordings.Root, Now: a.opt.Now, Log: a.log.With("part", "api"), Ready: a.ready,
		Health: a.health, Metrics: a.writeMetrics, Config: func() map[string]any { return a.config.Load().Map() }, Debug: a.debug,
		Signer: auth.NewSigner(a.linkKey, a.opt.Now), Proxies: a.opt.Config.HTTP.Proxies(),
		Calls: apiCalls{a}, Directory: a.directory, Toggle: toggleKey{a}, Feed: a.feed, Webhooks: a.hooks,
		Accounts: api.AccountOptions{Accounts: a.accounts, Tokens: a.tokens, Directory: a.directory, UserTenants: a.store.UserTenants, StackUUID: a.stackUUID},
	})
	var servers []*http.Server
	for _, l := range a.listeners {
		srv := a.newServer(server.Handler(l.service))
		if l.tls {
			srv.TLSConfig = &tls.Config{GetCertificate: a.certs.get, MinVersion: tls.VersionTLS12}
		}
		a.serve("http "+l.Addr().String(), srv, l)
		servers = append(servers, srv)
	}
	a.stack.push("http", stopServers(servers))
	socket := a.newServer(control.NewHandler(control.Options{
		Directory: a.directory, Tokens: a.tokens, Accounts: a.accounts, Log: a.log.With("part", "control"),
		Discover: func(ctx context.Context) (directory.Found, error) { return discover(ctx, a.ari, a.ami) },
		Status:   func() any { return a.Status() },
		Live:     liveControl{a}.list, Request: liveControl{a}.request, Routes: slices.Concat(a.keeping.Routes(), a.decided().Routes(), a.hooks.Routes(), a.audits.Routes(), a.orphanRoutes(), Backups{a.store}.Routes()),
	}))
	a.serve("control", socket, listener{Listener: a.control})
	a.stack.push("control", stopServers([]*http.Server{socket}))
	// Before the servers, which wait for their clients.
	a.stack.push("streams of events", func(context.Context) error { a.feed.Close(); return nil })
	return nil
}

// maxHeader bounds the headers of a request; a longer search than this is a
// mistake.
const maxHeader = 64 << 10

func (a *App) newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
}

func (a *App) serve(name string, srv *http.Server, l listener) {
	go func() {
		var err error
		if l.tls {
			err = srv.ServeTLS(l, "", "")
		} else {
			err = srv.Serve(l)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			select {
			case a.failed <- fmt.Errorf("%s: %w", name, err):
			default: // another part has failed before
			}
		}
	}()
}

// stopServers lets running requests end, all at once, but long downloads must
// not hold up a stop for ever.
func stopServers(servers []*http.Server) func(context.Context) error {
	return func(ctx context.Context) error {
		grace, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		errs := make([]error, len(servers))
		var all sync.WaitGroup
		for i, srv := range servers {
			all.Go(func() {
				if srv.Shutdown(grace) != nil {
					errs[i] = srv.Close()
				}
			})
		}
		all.Wait()
		return errors.Join(errs...)
	}
}

// health is what /status tells.
func (a *App) health() api.Health {
	s := a.Status()
	return api.Health{Asterisk: s.ARI.Kind == ari.StateConnected, Journal: s.Journal.Ready, Database: s.Database == ""}
}

// linkKeyName is that of the key of signed links in the state directory.
const linkKeyName = "link.key"

// linkKey reads the secret of signed links, or makes it at the first start.
func linkKey(dir string) ([]byte, error) {
	const length = 32
	path := keyFile(dir, linkKeyName)
	key, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		key = make([]byte, length)
		if _, err = rand.Read(key); err == nil {
			err = writeSecret(path, key)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("key of signed links: %w", err)
	}
	if len(key) != length {
		return nil, fmt.Errorf("key of signed links: %s has %d bytes, not %d; remove it, which makes the links of the last hour void", path, len(key), length)
	}
	return key, nil
}

// writeSecret makes a file that is there whole or not at all.
func writeSecret(path string, data []byte) error {
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Addresses are those on which the API listens, call-logd's first, with the real port where the
// configuration said 0.
func (a *App) Addresses() []string {
	var out []string
	for _, l := range a.listeners {
		out = append(out, l.Addr().String())
	}
	return out
}

// Address is the first of a service, empty if it has none of its own.
func (a *App) Address(service api.Service) string {
	for _, l := range a.listeners {
		if l.service == service {
			return l.Addr().String()
		}
	}
	return ""
}
