package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/lab"
)

// An Asterisk that answers late or wrongly. What is between it and the daemon
// here alters what it says.

// late is a way to Asterisk on which answers take longer, all of them by the
// same time.
type late struct {
	listener net.Listener
	by       atomic.Int64 // time.Duration
	wg       sync.WaitGroup
}

func newLate(t *testing.T, target string) *late {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	out := &late{listener: l}
	var mu sync.Mutex
	var all []net.Conn
	out.wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				_ = near.Close()
				continue
			}
			mu.Lock()
			all = append(all, near, far)
			mu.Unlock()
			out.wg.Go(func() { _, _ = io.Copy(far, near); _ = far.Close() })
			out.wg.Go(func() { out.answers(near, far) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range all {
			_ = c.Close()
		}
		mu.Unlock()
		out.wg.Wait()
	})
	return out
}

// answers passes what Asterisk says on in order, each part when it is due.
func (l *late) answers(near, far net.Conn) {
	type part struct {
		due  time.Time
		data []byte
	}
	parts := make(chan part, 1024)
	l.wg.Go(func() {
		defer close(parts)
		for {
			buf := make([]byte, 16<<10)
			n, err := far.Read(buf)
			if n > 0 {
				parts <- part{time.Now().Add(time.Duration(l.by.Load())), buf[:n]}
			}
			if err != nil {
				return
			}
		}
	})
	broken := false
	for p := range parts {
		<-time.After(time.Until(p.due))
		if !broken {
			_, err := near.Write(p.data)
			broken = err != nil
		}
	}
	_ = near.Close()
}

// Shows: what Asterisk answers comes two seconds late, on both interfaces. Calls
// do not notice, each has its one recording, and a daemon that starts then comes
// up.
func TestAsteriskThatAnswersSlowly(t *testing.T) {
	t.Parallel()
	pbx := newPBX(t, lab.Config{})
	host, err := url.Parse(pbx.ARIURL)
	must(t, err)
	ari, ami := newLate(t, host.Host), newLate(t, pbx.AMIAddr)
	s := siteAt(t, pbx, func(c *config.Config) {
		c.Asterisk.ARIURL = "http://" + ari.listener.Addr().String()
		c.Asterisk.AMIAddress = ami.listener.Addr().String()
	})
	slow := func(by time.Duration) { ari.by.Store(int64(by)); ami.by.Store(int64(by)) }
	s.start()
	s.populate()
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	slow(2 * time.Second)
	for n := range 2 {
		caller, callee := s.talk(alice, bob, "1002")
		s.runs()
		must(t, callee.WaitTone(within(t), toneA))
		if n == 0 && thorough() { // a dozen answers, one after another
			s.stop()
			s.open()
			must(t, caller.Talk(within(t), 15*time.Second))
			s.ready()
		}
		must(t, caller.Talk(within(t), time.Second))
		s.hangup(caller)
		s.waitCDRs(n + 1)
	}
	slow(0)
	s.ready()
	for i, c := range s.waitCDRs(2) {
		ready := 0
		for _, r := range c.Recordings {
			if r.State == "ready" {
				ready++
				s.hears(s.media(c, r), toneA, toneB)
			} else if r.State != "missing" || r.Cause != "hung_up" {
				// The end of a file is seen two seconds before the end of its call, and
				// what the talk seems to need is looked at in between.
				t.Errorf("call %d: %+v", i, r)
			}
		}
		if ready != 1 {
			t.Errorf("call %d has %+v", i, c.Recordings)
		}
	}
	s.sound(2)
}

// liar alters what Asterisk says: REST answers by tell, the manager's by say.
type liar struct {
	tell atomic.Pointer[func(http.ResponseWriter, *http.Request) bool] // true: it has answered
	cut  atomic.Bool                                                   // half of each answer
	say  atomic.Pointer[func(message string) string]

	ari  *httptest.Server
	ami  net.Listener
	dial string
	wg   sync.WaitGroup
}

func newLiar(t *testing.T, pbx *lab.PBX, ari string) *liar {
	t.Helper()
	target, err := url.Parse(ari)
	must(t, err)
	l := &liar{dial: pbx.AMIAddr}
	way := httputil.NewSingleHostReverseProxy(target)
	way.ErrorLog = nil
	way.ModifyResponse = func(r *http.Response) error {
		if !l.cut.Load() || r.StatusCode == http.StatusSwitchingProtocols {
			return nil
		}
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		body = body[:len(body)/2]
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.Header.Del("Content-Length")
		return err
	}
	way.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	l.ari = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tell := l.tell.Load(); tell != nil && r.Header.Get("Upgrade") == "" && (*tell)(w, r) {
			return
		}
		way.ServeHTTP(w, r)
	}))
	l.ami, err = net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l.wg.Go(func() { l.manager(t) })
	t.Cleanup(func() {
		_ = l.ami.Close()
		l.ari.CloseClientConnections()
		l.ari.Close()
		l.wg.Wait()
	})
	return l
}

// manager passes the manager's messages on, one by one.
func (l *liar) manager(t *testing.T) {
	for {
		near, err := l.ami.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", l.dial)
		if err != nil {
			_ = near.Close()
			continue
		}
		stop := make(chan struct{})
		l.wg.Go(func() { _, _ = io.Copy(far, near); _ = far.Close(); close(stop) })
		l.wg.Go(func() {
			select {
			case <-t.Context().Done():
				_ = near.Close()
			case <-stop:
			}
		})
		l.wg.Go(func() {
			defer near.Close()
			in := bufio.NewReader(far)
			banner, err := in.ReadString('\n')
			for text := banner; err == nil; {
				if say := l.say.Load(); say != nil {
					text = (*say)(text)
				}
				if _, err = io.WriteString(near, text); err != nil {
					return
				}
				text = ""
				for err == nil && !strings.HasSuffix(text, "\r\n\r\n") {
					var line string
					line, err = in.ReadString('\n')
					text += line
				}
			}
		})
	}
}

// Shows: what Asterisk says is wrong. Calls go on, the daemon neither dies nor
// records twice, and what it could not do is said.
func TestAsteriskThatAnswersWrongly(t *testing.T) {
	t.Parallel()
	pbx := newPBX(t, lab.Config{})
	host, err := url.Parse(pbx.ARIURL)
	must(t, err)
	p := newProxy(t, host.Host)
	l := newLiar(t, pbx, "http://"+p.listener.Addr().String())
	s := siteAt(t, pbx, func(c *config.Config) {
		c.Asterisk.ARIURL = l.ari.URL
		c.Asterisk.AMIAddress = l.ami.Addr().String()
	})
	s.start()
	s.populate()
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))

	answer := func(status int, body string) func() {
		return func() {
			f := func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, body)
				return true
			}
			l.tell.Store(&f)
		}
	}
	says := func(f func(string) string) func() { return func() { l.say.Store(&f) } }
	calls := 0
	for _, c := range []struct {
		name string
		lie  func()
		ari  bool // the look at what is there is made of lies, too
		more bool // too much for CI
	}{
		{"every REST answer is status 500", answer(http.StatusInternalServerError, `{"message": "Allocation failed"}`), true, false},
		{"JSON is cut", func() { l.cut.Store(true) }, true, false},
		{"another server answers", answer(http.StatusOK, "<html>Welcome to nginx!</html>"), true, true},
		{"lists of something else", answer(http.StatusOK, `[{"id": 7, "name": null, "channels": "none", "state": {}}, 3]`), true, true},
		{"the manager's ActionID is another", says(func(m string) string {
			return strings.ReplaceAll(m, "ActionID: ", "ActionID: x")
		}), false, false},
		{"lines of garbage between the manager's messages", says(func(m string) string {
			return "Segmentation\x00fault \xff\r\n" + m
		}), false, false},
		{"the manager's answers are cut", says(func(m string) string { return m[:len(m)/2] + "\r\n\r\n" }), false, true},
	} {
		if c.more && !thorough() {
			continue
		}
		c.lie()
		if c.ari {
			p.cut()
			p.restore()
			s.eventually("the connection is made again", func() error {
				if st := s.app.Status(); st.Ready {
					return errors.New("it is ready")
				}
				return nil
			})
		}
		caller, callee := s.talk(alice, bob, "1002")
		must(t, caller.Talk(within(t), 500*time.Millisecond))
		must(t, callee.WaitTone(within(t), toneA))
		l.tell.Store(nil)
		l.say.Store(nil)
		l.cut.Store(false)
		s.ready()
		s.runs()
		must(t, caller.Talk(within(t), 300*time.Millisecond))
		s.hangup(caller)
		calls++
		recs := s.waitCDRs(calls)[calls-1].Recordings
		ready := 0
		for _, r := range recs {
			if r.State == "ready" {
				ready++
			} else if r.State != "missing" || r.Cause == "" {
				t.Errorf("%s: %+v", c.name, r)
			}
		}
		if ready != 1 {
			t.Errorf("%s: the call has %+v", c.name, recs)
		}
		t.Logf("%s: %d recordings, status %s", c.name, len(recs), s.app.Status().Summary)
	}
	s.sound(calls)
}
