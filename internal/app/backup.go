package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"callrecordd/config"
	"callrecordd/internal/backup"
	"callrecordd/internal/cdr"
	"callrecordd/internal/control"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// Kinds of events about backups.
const (
	eventBackupMade = "backup_made"
	eventRestored   = "restored"
)

// BackupNote is what the event log keeps of a backup. Manifest is the SHA-256 of
// its manifest, which has those of all its files.
type BackupNote struct {
	ID        string    `json:"id"`
	Host      string    `json:"host"`
	Dir       string    `json:"dir"`
	MadeAt    time.Time `json:"made_at"`
	Manifest  string    `json:"manifest_sha256"`
	Files     int       `json:"files"`
	Bytes     int64     `json:"bytes"`
	Missing   int       `json:"missing"`
	Differ    int       `json:"differ"`
	LastEvent int64     `json:"last_event"`
	Journal   int64     `json:"journal"`
	Position  int64     `json:"journal_position"`
}

func noteOf(dir, manifest string, h backup.Header, e backup.End) BackupNote {
	return BackupNote{
		ID: h.ID, Host: h.Host, Dir: dir, MadeAt: h.MadeAt, Manifest: manifest, Files: e.Files, Bytes: e.Bytes, Missing: e.Missing,
		Differ: e.Differ, LastEvent: h.Facts.LastEvent, Journal: h.Facts.Journal, Position: h.Facts.JournalPosition,
	}
}

// Backups notes backups: another process makes them, because the daemon's may
// not write where they go.
type Backups struct{ Store *store.Store }

// Routes are the commands of the control socket.
func (b Backups) Routes() []control.Route {
	return []control.Route{{Pattern: "POST /v1/backups", Handle: b.made}}
}

func (b Backups) made(r *http.Request, body []byte) (any, error) {
	var note BackupNote
	if err := control.Strict(body, &note); err != nil {
		return nil, err
	}
	err := b.Store.AppendEvents(r.Context(), recorder.Event{Kind: eventBackupMade, Actor: control.Actor(r), Data: note})
	return nil, err
}

// BackupRequest is a backup that is asked for.
type BackupRequest struct {
	Config     config.Config
	ConfigPath string
	Dir        string
	Keys       bool // with keys, certificates and files of passwords
	Copy       bool
	Reread     bool
	Version    string
	Now        func() time.Time
	NewUUID    func() string
	Progress   func(backup.Progress)
}

// MakeBackup makes it, and returns with it what is to be noted.
func MakeBackup(ctx context.Context, r BackupRequest) (backup.Result, BackupNote, error) {
	host, err := os.Hostname()
	if err != nil {
		return backup.Result{}, BackupNote{}, fmt.Errorf("name of this machine: %w", err)
	}
	dir, err := filepath.Abs(r.Dir)
	if err == nil && r.ConfigPath != "" {
		r.ConfigPath, err = filepath.Abs(r.ConfigPath)
	}
	if err != nil {
		return backup.Result{}, BackupNote{}, fmt.Errorf("backup into %s: %w", r.Dir, err)
	}
	res, err := backup.Make(ctx, backup.Options{
		Dir: dir, Database: store.Files{Path: r.Config.State.Database()}, Root: r.Config.Recordings.Root,
		Files: backupFiles(r), Inside: []string{r.Config.Recordings.Root, r.Config.State.Dir},
		Copy: r.Copy, Reread: r.Reread, ID: r.NewUUID(), Version: r.Version, Host: host, Now: r.Now, Progress: r.Progress,
	})
	return res, noteOf(dir, res.Manifest, res.Header, res.End), err
}

// backupFiles are those beside database and recordings.
func backupFiles(r BackupRequest) []backup.File {
	var out []backup.File
	if r.ConfigPath != "" {
		// Not resolved: where it is a link, the link's place is the configuration's.
		out = append(out, backup.File{Kind: backup.KindConfig, From: r.ConfigPath, Target: r.ConfigPath, Secret: r.Config.HasSecrets()})
	}
	key := func(path string, secret bool) {
		out = append(out, backup.File{Kind: backup.KindKey, From: path, Target: filepath.Base(path), Secret: secret, Optional: true})
	}
	// Who verifies the copy of the database needs it, and it opens nothing.
	key(LedgerPublicKeyFile(r.Config), false)
	if !r.Keys {
		return out
	}
	// They are not in the database, so that a copy of that gives nobody a way in.
	for _, name := range []string{filepath.Base(r.Config.State.RefreshKey()), linkKeyName, ledgerKeyName} {
		key(filepath.Join(r.Config.State.Dir, name), true)
	}
	for _, f := range r.Config.Files() {
		out = append(out, backup.File{Kind: backup.KindSecret, From: f.Path, Target: f.Path, Secret: f.Secret, Optional: true})
	}
	return out
}

// RestoreRequest is a restore that is asked for.
type RestoreRequest struct {
	Config     config.Config // of the restored system
	ConfigPath string
	Dir        string
	Actor      string
	Replace    bool
	Partial    bool
	Link       bool
	DryRun     bool
	Now        func() time.Time
	Progress   func(backup.Progress)
}

// RestoreAnswer is what a restore has done, and what the journal has that the
// restored database lacks: the next start derives it.
type RestoreAnswer struct {
	backup.Restored
	Ahead cdr.Ahead `json:"journal_ahead"`
	// JournalFault says why the journal could not be looked at.
	JournalFault string `json:"journal_fault,omitempty"`
}

// Restore brings a backup back. It refuses while somebody has the database open.
func Restore(ctx context.Context, r RestoreRequest) (out RestoreAnswer, err error) {
	state := r.Config.State
	files := store.Files{Path: state.Database()}
	if !r.DryRun {
		if err := backup.MakeFolder(state.Dir, r.Config.Recordings.Root, 0o750); err != nil {
			return out, fmt.Errorf("state directory: %w", err)
		}
		lock, err := files.Lock()
		if errors.Is(err, store.ErrLocked) {
			return out, fmt.Errorf("%w: stop the daemon first (systemctl stop callrecordd)", err)
		}
		if err != nil {
			return out, fmt.Errorf("lock the database: %w", err)
		}
		defer func() { err = errors.Join(err, lock.Close()) }()
	}
	var secrets []string
	for _, f := range r.Config.Files() {
		secrets = append(secrets, f.Path)
	}
	out.Restored, err = backup.Restore(ctx, backup.RestoreOptions{
		Secrets: secrets,
		Dir:     r.Dir, Database: files, To: state.Database(), Root: r.Config.Recordings.Root, State: state.Dir, Config: r.ConfigPath,
		Replace: r.Replace, Partial: r.Partial, Link: r.Link, DryRun: r.DryRun, Stamp: r.Now().UTC().Format("20060102T150405Z"),
		Prepare: r.prepare, Progress: r.Progress,
	})
	if out.Facts.Schema > 0 {
		at := cdr.Checkpoint{Journal: out.Facts.Journal, Position: out.Facts.JournalPosition}
		var fault error
		if out.Ahead, fault = cdr.LookAhead(ctx, r.Config.Asterisk.Journal, at); fault != nil {
			out.JournalFault = fault.Error()
		}
	}
	return out, err
}

// prepare brings the copy of the database to the schema of this version and notes
// in it that it was restored.
func (r RestoreRequest) prepare(ctx context.Context, file string, rep backup.Report) error {
	st, err := store.Open(ctx, store.Options{Path: file, Now: r.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	err = st.AppendEvents(ctx, recorder.Event{
		Kind: eventRestored, Actor: r.Actor, Data: noteOf(r.Dir, rep.Manifest, rep.Header, rep.End),
	})
	return errors.Join(err, st.Close())
}
