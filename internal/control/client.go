package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
)

// ErrNoDaemon says that nobody listens on the socket.
var ErrNoDaemon = errors.New("no daemon listens on the control socket")

// Client speaks to a handler, through the socket or in this process.
type Client struct {
	http  *http.Client
	actor string
}

// Connect returns a client for the daemon's socket, or ErrNoDaemon.
func Connect(ctx context.Context, socket, actor string) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, ErrNoDaemon
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("connect to the daemon: %w; be root or in the group of the socket", err)
	case err != nil:
		return nil, fmt.Errorf("connect to the daemon: %w", err)
	}
	_ = conn.Close() // the probe only; each request dials for itself
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", socket)
		},
	}
	return &Client{http: &http.Client{Transport: transport}, actor: actor}, nil
}

// InProcess returns a client that calls the handler directly.
func InProcess(h http.Handler, actor string) *Client {
	return &Client{http: &http.Client{Transport: direct{h}}, actor: actor}
}

type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	a := &answer{header: make(http.Header), status: http.StatusOK}
	d.handler.ServeHTTP(a, r)
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status, Header: a.header,
		Body: io.NopCloser(&a.body), Request: r,
	}, nil
}

// answer collects what the handler says.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

// Do sends in (nil for none) as JSON and decodes the answer into out (nil to
// ignore it). What the other side refuses comes back as *Failure.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://callrecordd/v1/"+path, &body)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set(actorHeader, c.actor)
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it has been read, or the error is known
	dec := json.NewDecoder(resp.Body)
	if resp.StatusCode >= http.StatusBadRequest {
		f := &Failure{Status: resp.StatusCode}
		if err := dec.Decode(f); err != nil || f.Message == "" {
			f.Message = "the daemon answered " + resp.Status
		}
		return f
	}
	if out == nil {
		return nil
	}
	if err := dec.Decode(out); err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	return nil
}

// Path joins path elements, escaping each: a device's key has a slash in it.
func Path(elements ...string) string {
	escaped := make([]string, len(elements))
	for i, e := range elements {
		escaped[i] = url.PathEscape(e)
	}
	return strings.Join(escaped, "/")
}

// socketMode is for owner and group only: whoever may open the socket may
// change everything.
const socketMode = 0o660

// Listen opens the control socket, for owner and group only. A file that is no
// socket is left alone; a socket that nobody listens on is replaced.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	case info.Mode()&fs.ModeSocket == 0:
		return nil, fmt.Errorf("control socket %s: there is a file that is no socket; remove it or set state.socket", path)
	default:
		var d net.Dialer
		if conn, err := d.DialContext(ctx, "unix", path); err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("control socket %s: another callrecordd listens there", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove stale control socket: %w", err)
		}
	}
	l, err := bind(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	// A strict umask has taken the group's right, which is meant to be there.
	if err := os.Chmod(path, socketMode); err != nil {
		_ = l.Close() // what matters is the mode
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	return l, nil
}

func bind(ctx context.Context, path string) (net.Listener, error) {
	// Linux gives the socket's file the mode that the socket has when it is
	// bound, less the umask. So the file is never more open than it may be, and
	// the umask, which belongs to the whole process, is left alone.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if control := c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), socketMode) }); control != nil {
			return control
		}
		return err
	}}
	return lc.Listen(ctx, "unix", path)
}
