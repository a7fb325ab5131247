package e2e

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"callrecordd/ari"
)

// ghost has Asterisk keep an application for a websocket that is no more: it is cut
// while Asterisk writes to it, and whoever writes closes it before its reader has
// seen the end.
func (s *site) ghost(client *ari.Client) {
	s.t.Helper()
	address, err := url.Parse(s.cfg.Asterisk.ARIURL)
	must(s.t, err)
	auth := "Basic " + base64.StdEncoding.EncodeToString([]byte(s.pbx.ARIUser+":"+s.pbx.ARIPassword))
	app := s.cfg.Asterisk.App
	ctx := within(s.t)
	writing, enough := sync.WaitGroup{}, make(chan struct{})
	defer writing.Wait()
	defer close(enough)
	for range 8 { // with three it took 60 connections, and on a busy machine more than there was time for
		writing.Go(func() {
			for {
				select {
				case <-enough:
					return
				default:
				}
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, address.String()+"/ari/events/user/noise?application="+app,
					strings.NewReader(`{"variables":{"a":"`+strings.Repeat("x", 3000)+`"}}`))
				if err != nil {
					return
				}
				req.Header.Set("Authorization", auth)
				req.Header.Set("Content-Type", "application/json")
				if resp, err := http.DefaultClient.Do(req); err == nil {
					_ = resp.Body.Close() // whether it was taken is not of interest
				}
			}
		})
	}
	for ctx.Err() == nil {
		s.connectAndCut(address.Host, app, auth)
		gone := time.Now().Add(time.Second)
		for err = nil; err == nil && time.Now().Before(gone); {
			_, err = client.Application(ctx, app)
		}
		if err == nil {
			return
		}
	}
	s.t.Fatal("Asterisk has noticed the end of each connection")
}

// connectAndCut opens a websocket, reads some of it, and resets the connection.
func (s *site) connectAndCut(host, app, auth string) {
	s.t.Helper()
	conn, err := net.Dial("tcp", host)
	must(s.t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "GET /ari/events?app=%s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ari\r\n\r\n", app, host, auth)
	must(s.t, err)
	must(s.t, conn.SetReadDeadline(time.Now().Add(time.Second)))
	_, _ = io.CopyN(io.Discard, bufio.NewReader(conn), 100<<10) // how much came is not of interest
	must(s.t, conn.(*net.TCPConn).SetLinger(0))
}

// TestConnectionThatAsteriskKeepsIsTakenOver: a daemon that was stopped, or
// killed, under load left a websocket that Asterisk never closed, and the next one waited for it.
func TestConnectionThatAsteriskKeepsIsTakenOver(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	base, err := url.Parse(s.cfg.Asterisk.ARIURL)
	must(t, err)
	client := ari.New(base, ari.Credentials{User: s.pbx.ARIUser, Password: s.pbx.ARIPassword})
	const presence = "CALLRECORDD_PRESENCE"
	var word string
	s.eventually("the daemon says that it records", func() error {
		if word, err = client.GlobalVar(within(t), presence); err == nil && word == "" {
			err = fmt.Errorf("nobody does")
		}
		return err
	})
	s.stop()
	s.ghost(client)
	s.start()
	s.stop()
	s.ghost(client)
	must(t, client.SetGlobalVar(within(t), presence, word)) // as if it had been killed
	s.start()
}
