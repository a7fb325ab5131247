package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// ariServer is an ARI whose events are ours. Everything else is passed on to a
// real Asterisk, so that the daemon finds channels, modules and versions.
type ariServer struct {
	url   string
	http  *http.Server
	real  *httputil.ReverseProxy
	conns chan *websocket.Conn

	mu       sync.Mutex
	open     int
	withheld []map[string]string // as the daemon has set it
}

// newARIServer stands before the ARI at that URL.
func newARIServer(ari string) (*ariServer, error) {
	target, err := url.Parse(strings.TrimSuffix(ari, "/ari"))
	if err != nil {
		return nil, fmt.Errorf("stand before ARI at %q: %w", ari, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("stand before ARI: %w", err)
	}
	f := &ariServer{url: "http://" + l.Addr().String(), real: httputil.NewSingleHostReverseProxy(target), conns: make(chan *websocket.Conn, 16)}
	f.http = &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}
	go func() { _ = f.http.Serve(l) }() // ends with close
	return f, nil
}

func (f *ariServer) close() { _ = f.http.Close() }

// ServeHTTP implements http.Handler.
func (f *ariServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/ari/events":
		f.events(w, r)
	case strings.HasPrefix(r.URL.Path, "/ari/applications/"):
		f.application(w, r)
	default:
		f.real.ServeHTTP(w, r)
	}
}

// events keeps a websocket until the daemon leaves.
func (f *ariServer) events(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"ari"}})
	if err != nil {
		return // the client has been told
	}
	f.count(1)
	f.conns <- conn
	<-conn.CloseRead(context.Background()).Done()
	f.count(-1)
}

func (f *ariServer) count(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open += n
}

// application answers as Asterisk does: it exists while it has a websocket.
func (f *ariServer) application(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	var filter struct {
		Disallowed []map[string]string `json:"disallowed"`
	}
	switch {
	case f.open == 0:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"message":"Application not found"}`)
		return
	case r.Method == http.MethodPut:
		if err := json.NewDecoder(r.Body).Decode(&filter); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"message":"Invalid filter"}`)
			return
		}
		f.withheld = filter.Disallowed
	}
	// A broken connection is the daemon's to notice.
	_ = json.NewEncoder(w).Encode(map[string]any{
		"name": "callrecordd", "channel_ids": []string{}, "bridge_ids": []string{}, "endpoint_ids": []string{},
		"device_names": []string{}, "events_allowed": []string{}, "events_disallowed": f.withheld,
	})
}

var errNoClient = errors.New("the daemon has not connected")

// send writes all frames to the newest websocket. An error says that it broke
// after that many.
func (f *ariServer) send(ctx context.Context, frames [][]byte) (sent int, err error) {
	var conn *websocket.Conn
	for conn == nil || len(f.conns) > 0 {
		select {
		case conn = <-f.conns:
		default:
			return 0, errNoClient
		}
	}
	for _, frame := range frames {
		if err := conn.Write(ctx, websocket.MessageText, frame); err != nil {
			return sent, fmt.Errorf("send events: %w", err)
		}
		sent++
	}
	return sent, nil
}
