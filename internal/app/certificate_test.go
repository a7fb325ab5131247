package app

import (
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/setup"
)

func TestCertificatesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	age := time.Now().Add(-time.Hour)
	put := func(host string) (certText, keyText string) {
		t.Helper()
		certText, keyText, err := setup.SelfSigned([]string{host}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return certText, keyText
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		age = age.Add(time.Minute)
		if err := os.Chtimes(name, age, age); err != nil {
			t.Fatal(err)
		}
	}
	c1, k1 := put("one.invalid")
	write(cert, c1)
	if _, err := newCertificates(cert, key, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "http.certificate_key") {
		t.Errorf("without a key: %v", err)
	}
	write(key, k1)
	var log strings.Builder
	c, err := newCertificates(cert, key, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // ends the loop below
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = conn.Read(make([]byte, 1)); conn.Close() }()
		}
	}()
	name := func() string {
		t.Helper()
		dialer := tls.Dialer{NetDialer: &net.Dialer{}, Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // looks at the certificate itself
		conn, err := dialer.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].DNSNames[0]
	}
	if got := name(); got != "one.invalid" {
		t.Errorf("first: %s", got)
	}
	c2, k2 := put("two.invalid")
	write(cert, c2) // half of a renewal
	if got := name(); got != "one.invalid" || !strings.Contains(log.String(), "stays in use") {
		t.Errorf("half-way: %s, log %s", got, log.String())
	}
	write(key, k2)
	if got := name(); got != "two.invalid" {
		t.Errorf("renewed: %s", got)
	}
}

func TestLinkKey(t *testing.T) {
	dir := t.TempDir()
	first, err := linkKey(dir)
	if err != nil || len(first) != 32 {
		t.Fatalf("%d bytes, %v", len(first), err)
	}
	if again, err := linkKey(dir); err != nil || string(again) != string(first) {
		t.Errorf("the next start has another key: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, "link.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "link.key"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := linkKey(dir); err == nil || !strings.Contains(err.Error(), "remove") {
		t.Errorf("a broken key: %v", err)
	}
}
