package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"callrecordd/internal/setup"
)

// prepareHTTPS settles whether setup makes a certificate: not if the
// configuration has HTTPS already, and not for an address that another program
// serves, which is then no error but told.
func (d *daemonFiles) prepareHTTPS(address string) (*setup.Finding, error) {
	if address == "none" || len(d.cfg.HTTP.ListenTLS) > 0 || d.cfg.HTTP.Certificate != "" {
		return nil, nil
	}
	where, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--https %s: write host:port, :443 or none", address)
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	switch {
	case err == nil:
		_ = l.Close() // it was only a try
	case errors.Is(err, syscall.EADDRINUSE):
		return &setup.Finding{
			Where: "http.listen_tls", What: "another program listens on " + address + ", so there will be no HTTPS of ours",
			Do: "put callrecordd behind it (README, HTTPS), or choose an address with --https",
		}, nil
	default: // who is not root may not try a port below 1024
	}
	d.https = address
	if where.Port < 1024 {
		return &setup.Finding{
			Where: "http.listen_tls", What: "the daemon may not bind port " + strconv.Itoa(where.Port) + " itself, systemd does it for it",
			Do: "systemctl enable --now callrecordd.socket, before callrecordd is started",
		}, nil
	}
	return nil, nil
}

// certificate is what HTTPS needs: two files, and the keys that name them.
func (d daemonFiles) certificate() (edits []setup.Edit, keys map[string]string, err error) {
	if d.https == "" {
		return nil, nil, nil
	}
	dir, err := filepath.Abs(filepath.Dir(d.path))
	if err != nil {
		return nil, nil, fmt.Errorf("find the daemon's configuration: %w", err)
	}
	cert, key := filepath.Join(dir, "certificate.pem"), filepath.Join(dir, "certificate_key.pem")
	keys = map[string]string{"listen_tls": d.https, "certificate": cert, "certificate_key": key}
	if _, err := os.Stat(cert); err == nil {
		if _, err := os.Stat(key); err == nil {
			return nil, keys, nil // the administrator's, or of an earlier run
		}
	}
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, name)
	}
	certText, keyText, err := setup.SelfSigned(hosts, time.Now())
	if err != nil {
		return nil, nil, err
	}
	edits = []setup.Edit{
		{Path: cert, After: certText, Secret: true, Like: "manager.conf"},
		{Path: key, After: keyText, Secret: true, Like: "manager.conf"},
	}
	for i := range edits { // one of the two may be there without the other
		if data, err := os.ReadFile(edits[i].Path); err == nil {
			before := string(data)
			edits[i].Before = &before
		}
	}
	return edits, keys, nil
}
