package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/lab"
	"callrecordd/internal/setup"
)

// withHTTPS serves HTTPS with a certificate as setup makes it.
func withHTTPS(t testing.TB) func(*config.Config) {
	t.Helper()
	dir := t.TempDir()
	cert, key, err := setup.SelfSigned([]string{"localhost"}, time.Now())
	must(t, err)
	return func(c *config.Config) {
		c.HTTP.ListenTLS = []string{"127.0.0.1:0"}
		c.HTTP.Certificate, c.HTTP.CertificateKey = filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
		must(t, os.WriteFile(c.HTTP.Certificate, []byte(cert), 0o600))
		must(t, os.WriteFile(c.HTTP.CertificateKey, []byte(key), 0o600))
	}
}

// published runs the line of the seed document that contains part, with its
// placeholders and example ids replaced, in a shell.
func (s *site) published(part string, fill ...string) string {
	s.t.Helper()
	data, err := os.ReadFile("testdata/seed_curl.txt")
	must(s.t, err)
	for line := range strings.Lines(string(data)) {
		if !strings.Contains(line, part) {
			continue
		}
		fill = append(fill, "<ACCESS TOKEN>", s.token, "<WAZO STACK HOSTNAME>", s.app.Address(""))
		cmd := exec.CommandContext(within(s.t), "sh", "-c", strings.NewReplacer(fill...).Replace(line))
		cmd.Env = append(os.Environ(), "NO_PROXY=*", "no_proxy=*") // the daemon is here
		out, err := cmd.Output()
		if err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
		return string(out)
	}
	s.t.Fatalf("no published line has %s", part)
	return ""
}

// httpsWorks asks at the address that setup has configured.
func (s *site) httpsWorks() {
	s.t.Helper()
	cmd := exec.CommandContext(within(s.t), "curl", "--silent", "--insecure", "https://"+s.app.Address("")+"/readyz")
	cmd.Env = append(os.Environ(), "NO_PROXY=*", "no_proxy=*") // the daemon is here
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "ready") {
		s.t.Errorf("HTTPS after setup: %v %s", err, out)
	}
}

// TestSocketOfTheServiceManager hands the HTTPS port over as systemd does, which
// a restart does not close.
func TestSocketOfTheServiceManager(t *testing.T) {
	bin := build(t)
	port, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	file, err := port.(*net.TCPListener).File()
	must(t, err)
	must(t, port.Close())
	defer file.Close()
	https := withHTTPS(t)
	s := siteAt(t, newPBX(t, lab.Config{}), func(c *config.Config) { https(c); c.HTTP.ListenTLS = []string{port.Addr().String()} })
	for range 2 {
		s.cfg.Log.Format = "json"
		cmd := s.command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" serve "$@"`, bin)
		cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = s.logs, s.logs, []*os.File{file}
		c := s.run(cmd)
		ask := exec.CommandContext(within(t), "curl", "--silent", "--insecure", "https://"+port.Addr().String()+"/readyz")
		ask.Env = append(os.Environ(), "NO_PROXY=*", "no_proxy=*")
		if out, err := ask.CombinedOutput(); err != nil || !strings.Contains(string(out), "ready") {
			t.Errorf("HTTPS on the socket that was handed over: %v %s", err, out)
		}
		c.end(t, syscall.SIGTERM)
	}
}

// TestPublishedDownload downloads a recording as the published page says.
func TestPublishedDownload(t *testing.T) {
	s := newSite(t, withHTTPS(t))
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	call, _ := s.talk(alice, bob, "1002")
	<-time.After(2 * time.Second) // of talk
	s.hangup(call)
	cdr, rec := s.one()
	file := filepath.Join(t.TempDir(), "my-file.wav")
	s.published("/media'", "2060", fmt.Sprint(cdr.ID), "5ea37d0b-0823-4d2b-a18c-b9082e551b50", rec.UUID, "<MY FILE.wav>", file)
	s.hears(file, toneA, toneB)
}
