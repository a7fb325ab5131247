package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/internal/app"
	"callrecordd/internal/notary"
	"callrecordd/internal/verify"
)

// signed makes a database with a checkpoint, as a daemon leaves it.
func (h *host) signed() (public string) {
	h.t.Helper()
	st := h.open()
	signer, err := app.LedgerSigner(config.Config{State: h.state}, rand.Reader)
	if err == nil {
		err = st.BeginLedger(h.t.Context())
	}
	if err == nil {
		err = st.SetSetting(h.t.Context(), "k", "v", "root")
	}
	if err == nil {
		n := notary.New(notary.Options{Repo: st, Signer: signer, Every: time.Hour, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		_, _, err = n.Checkpoint(h.t.Context())
	}
	if err == nil {
		err = st.Close()
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return signer.Public()
}

// The command of who has nothing but a copy and the public key, and of who is on
// the PBX: both end with 0 only if all fits, and say in words what does not.
func TestVerify(t *testing.T) {
	h := newHost(t)
	root := filepath.Join(filepath.Dir(h.config), "root")
	h.fails("ledger.pub", "ledger", "key")
	public := h.signed()
	h.write("state: {dir: " + h.state.Dir + ", socket: " + h.state.Socket + "}\nrecordings: {root: " + root + "}\n")
	if err := os.Mkdir(root, 0o750); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(h.run("ledger", "key")); got != public {
		t.Errorf("key %q, want %q", got, public)
	}
	if out := h.run("verify"); !strings.HasPrefix(out, "clean: 2 entries of the ledger, 1 checkpoints") {
		t.Errorf("on the PBX: %s", out)
	}
	data, err := os.ReadFile(h.state.Database())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	copied := filepath.Join(dir, "copy.db")
	if err := os.WriteFile(copied, data, 0o600); err != nil {
		t.Fatal(err)
	}
	h.write("this is no configuration") // which a third party has not
	out := h.run("verify", "--db", copied, "--key", public, "-o", "json")
	var r verify.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || !r.Clean || r.Findings == nil {
		t.Errorf("of a copy: %v, %s", err, out)
	}
	anchor := filepath.Join(dir, "anchor")
	if err := os.WriteFile(anchor, []byte("callrecordd-ledger/pbx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _, err = h.try("verify", "--db", copied, "--key", public, "--anchor", anchor)
	if !errors.Is(err, errTold) || !strings.Contains(out, "anchor_forged: what begins in line 1") || !strings.Contains(out, "1 finding") {
		t.Errorf("with a forged anchor: %v, %s", err, out)
	}
	h.fails("--key is missing", "verify", "--db", copied)
	h.fails("no public key", "verify", "--db", copied, "--key", "x+y")
	h.fails("no such file", "verify", "--db", filepath.Join(dir, "none.db"), "--key", public)
	h.fails("anchor file", "verify", "--db", copied, "--key", public, "--anchor", filepath.Join(dir, "none"))
	h.fails("zip", "verify", "--export", copied, "--key", public)
	h.fails("--export needs nothing but", "verify", "--export", copied, "--db", copied, "--key", public)
}
