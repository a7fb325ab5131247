package app

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificates serves the certificate in two files and takes a new one as soon
// as it is there: whoever renews it need not restart the daemon.
type certificates struct {
	cert, key string
	log       *slog.Logger

	mu   sync.Mutex
	now  *tls.Certificate
	seen [2]stamp // of the files now is from, or those that were found bad
}

// stamp tells whether a file is another than before.
type stamp struct {
	modified time.Time
	size     int64
}

// newCertificates reads the files for the first time.
func newCertificates(cert, key string, log *slog.Logger) (*certificates, error) {
	c := &certificates{cert: cert, key: key, log: log}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c, c.load()
}

// get is for tls.Config. It looks at the files at each handshake, which costs
// microseconds beside a handshake's milliseconds.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stamps() != c.seen {
		c.reload()
	}
	return c.now, nil
}

// again reads the files even if they look as before.
func (c *certificates) again() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reload()
}

// reload keeps the old certificate if the files do not fit together, as they
// do not while only one of the two has been written.
func (c *certificates) reload() {
	if err := c.load(); err != nil {
		c.log.Error("the certificate was not read again, the one before stays in use", "err", err)
		return
	}
	c.log.Info("certificate read again", "file", c.cert)
}

func (c *certificates) load() error {
	c.seen = c.stamps()
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("http.certificate %s with http.certificate_key %s: %w", c.cert, c.key, err)
	}
	c.now = &pair
	return nil
}

func (c *certificates) stamps() (out [2]stamp) {
	for i, name := range []string{c.cert, c.key} {
		if info, err := os.Stat(name); err == nil {
			out[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return out
}
