package e2e

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"callrecordd/config"
	"callrecordd/internal/app"
	"callrecordd/internal/ledger"
	"callrecordd/internal/verify"
	"callrecordd/store"
)

// verified verifies the database and the files as the command does.
func (s *site) verified() verify.Report {
	s.t.Helper()
	public, err := os.ReadFile(app.LedgerPublicKeyFile(s.cfg))
	must(s.t, err)
	key, err := ledger.NewVerifier(string(public))
	must(s.t, err)
	db, err := store.OpenReader(s.t.Context(), s.cfg.State.Database())
	must(s.t, err)
	defer func() { must(s.t, db.Close()) }()
	o := verify.Options{Key: key, Root: s.cfg.Recordings.Root}
	if s.cfg.Ledger.Anchor != "" {
		anchor, err := os.ReadFile(s.cfg.Ledger.Anchor)
		must(s.t, err)
		o.Anchor = bytes.NewReader(anchor)
	}
	r, err := verify.Run(s.t.Context(), db, o)
	must(s.t, err)
	return r
}

// A daemon signs from its first start on, and for the last time when it stops;
// who gets an archive needs the public key and nothing else.
func TestExportIsProvedToAThirdParty(t *testing.T) {
	v := newVault(t, func(c *config.Config) { c.Ledger.Anchor = filepath.Join(c.State.Dir, "anchor") })
	master := v.tenant("")
	uuids := v.put(made{id: 1, tenant: master, recordings: 2}, made{id: 2, tenant: master, recordings: 1},
		made{id: 3, tenant: master, recordings: 1, noFile: true})
	v.run()
	e := v.export("", `{"cdr_ids": [1, 2, 3]}`)
	r := v.ask("GET", "/1.0/exports/"+e.UUID+"/download", nil)
	if r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	public, err := os.ReadFile(app.LedgerPublicKeyFile(v.cfg))
	must(t, err)
	key, err := ledger.NewVerifier(string(public))
	must(t, err)
	got, err := verify.Archive(t.Context(), bytes.NewReader(r.body), int64(len(r.body)), key)
	if err != nil || !got.Clean || got.Files != 3 || got.Entries != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	// A byte of the audio, which is stored as it is.
	at := bytes.Index(r.body, []byte("WAVEfmt ")) + 100
	r.body[at] ^= 1
	got, err = verify.Archive(t.Context(), bytes.NewReader(r.body), int64(len(r.body)), key)
	if err != nil || len(got.Findings) != 1 || got.Findings[0].Kind != verify.FileAltered {
		t.Errorf("with another byte: %+v, %v", got, err)
	}
	beside := v.verified()
	if len(beside.Findings) != 1 || beside.Findings[0].Kind != verify.FileMissing || beside.Findings[0].ID != uuids[2][0] {
		t.Errorf("beside the daemon: %+v", beside)
	}
	v.ask("DELETE", "/1.0/cdr/3/recordings/"+uuids[2][0]+"/media", nil).is(t, http.StatusNoContent, "")
	v.stop()
	after := v.verified()
	if !after.Clean || after.SinceCheckpoint != 0 || after.Anchors != after.Checkpoints || after.Anchors < 2 {
		t.Errorf("after the stop: %+v", after)
	}
	info, err := os.Stat(app.LedgerKeyFile(v.cfg))
	must(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("the key has mode %v", info.Mode())
	}
}

// Who cannot sign can still record.
func TestSpoiltKeyIsNoReasonNotToStart(t *testing.T) {
	v := newVault(t)
	must(t, os.WriteFile(filepath.Join(v.cfg.State.Dir, "ledger.key"), []byte("spoilt"), 0o600))
	v.put(made{id: 1, tenant: v.tenant(""), recordings: 1})
	v.run()
	if line := v.app.Status().Ledger; !strings.Contains(line, "not signed") || !strings.Contains(line, "restore it") {
		t.Errorf("status: %s", line)
	}
	if got := v.entries(v.export("", `{"cdr_ids": [1]}`)); len(got) != 1 {
		t.Errorf("%d files in the archive", len(got))
	}
}
