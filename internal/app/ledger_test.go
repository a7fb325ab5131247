package app

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"callrecordd/config"
)

// The key is made once, is nobody else's to read, and stays; one that comes from
// the service manager is taken instead, and never written.
func TestKeyOfTheLedger(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	cfg := config.Default()
	cfg.State.Dir = t.TempDir()
	first, err := LedgerSigner(cfg, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(cfg.State.Dir, "ledger.key"))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if again, err := LedgerSigner(cfg, rand.Reader); err != nil || again.Public() != first.Public() {
		t.Errorf("another key after a restart: %v", err)
	}
	if public, err := os.ReadFile(LedgerPublicKeyFile(cfg)); err != nil || strings.TrimSpace(string(public)) != first.Public() {
		t.Errorf("public key %q, %v", public, err)
	}

	// The key of another PBX, as a credential.
	other := config.Default()
	other.State.Dir = t.TempDir()
	want, err := LedgerSigner(other, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", other.State.Dir)
	if got, err := LedgerSigner(cfg, rand.Reader); err != nil || got.Public() != want.Public() {
		t.Errorf("the credential is not taken: %v", err)
	}
	cfg.Ledger.Key = filepath.Join(cfg.State.Dir, "ledger.key")
	if got, err := LedgerSigner(cfg, rand.Reader); err != nil || got.Public() != first.Public() {
		t.Errorf("the configured file is not taken: %v", err)
	}

	cfg.Ledger.Key = filepath.Join(t.TempDir(), "spoilt")
	if err := os.WriteFile(cfg.Ledger.Key, []byte("PRIVATE+KEY+secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LedgerSigner(cfg, rand.Reader); err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "restore it") {
		t.Errorf("error %v", err)
	}
}
