package setup

import (
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func place(t *testing.T) (dir, backups string, plan Plan) {
	t.Helper()
	dir, backups = filepath.Join(t.TempDir(), "etc"), filepath.Join(t.TempDir(), "backups")
	write(t, dir, busy())
	files, err := ReadTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, backups, Make(files, options())
}

// TestUndoRefuses names files that somebody has changed, and takes --force.
func TestUndoRefuses(t *testing.T) {
	dir, backups, plan := place(t)
	before := tree(t, dir)
	if _, err := Apply(dir, backups, plan.Edits, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(dir, "cel.conf")
	if err := os.WriteFile(changed, []byte("[general]\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Undo(dir, backups, false); err == nil || !strings.Contains(err.Error(), changed) {
		t.Fatalf("undo: %v", err)
	}
	if _, err := Undo(dir, backups, true); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
	if _, err := Undo(dir, backups, false); !errors.Is(err, ErrNothing) {
		t.Errorf("a second undo: %v", err)
	}
}

// TestUndoOfSeveralRuns goes back to before the first.
func TestUndoOfSeveralRuns(t *testing.T) {
	dir, backups, plan := place(t)
	before := tree(t, dir)
	if _, err := Apply(dir, backups, plan.Edits, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	files, err := ReadTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Lean, o.ToggleCode = true, "*5"
	if _, err := Apply(dir, backups, Make(files, o).Edits, time.Unix(2, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := Undo(dir, backups, false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// TestApplyStops before it writes anything, or puts everything back.
func TestApplyStops(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"changed meanwhile": func(dir string) error { return os.WriteFile(filepath.Join(dir, "cel.conf"), []byte("x"), 0o600) },
		"a link": func(dir string) error {
			path := filepath.Join(dir, "cel.conf")
			return errors.Join(os.Rename(path, path+".real"), os.Symlink(path+".real", path))
		},
		"no folder": func(dir string) error { return os.WriteFile(filepath.Join(dir, Folder), nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, backups, plan := place(t)
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			before := tree(t, dir)
			if _, err := Apply(dir, backups, plan.Edits, time.Unix(1, 0)); err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
				t.Error(diff)
			}
			if _, err := Undo(dir, backups, false); !errors.Is(err, ErrNothing) {
				t.Errorf("undo: %v", err)
			}
		})
	}
}

// TestDiff is understood by git, and shows no password.
func TestDiff(t *testing.T) {
	dir, _, plan := place(t)
	plan.Edits = append(plan.Edits, Edit{Path: "secret.txt", After: "hidden-word\n", Secret: true})
	text := Diff(plan.Edits)
	for _, secret := range []string{"ari-secret", "ami-secret", "hidden-word"} {
		if strings.Contains(text, secret) {
			t.Errorf("the diff shows %s:\n%s", secret, text)
		}
	}
	files, err := ReadTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := applied(files, plan)
	patch := ""
	for _, e := range plan.Edits {
		before, from := "", "/dev/null"
		if e.Before != nil {
			before, from = *e.Before, e.Path
		}
		patch += unified(from, e.Path, before, e.After)
	}
	cmd := exec.Command("git", "apply", "-p0", "--unsafe-paths", "--directory="+dir, "-")
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(patch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git apply: %v %s\n%s", err, out, patch)
	}
	for _, e := range plan.Edits[:len(plan.Edits)-1] {
		got, err := os.ReadFile(filepath.Join(dir, e.Path))
		if err != nil || string(got) != want[e.Path] {
			t.Errorf("%s: %v\n%s", e.Path, err, cmp.Diff(want[e.Path], string(got)))
		}
	}
}

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.db")
	for _, wantMade := range []bool{true, false} {
		made, wrong, err := MakeJournal(path)
		if made != wantMade || wrong != nil || err != nil {
			t.Fatalf("made %v, wrong %v, %v", made, wrong, err)
		}
	}
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	state, err := LookAtJournal(t.Context(), db)
	if err != nil || !state.WAL || !state.AutoIncrement || state.ID == 0 || state.Wrong(path) != nil {
		t.Errorf("%+v %v", state, err)
	}
	if _, err := db.Exec("DROP TABLE cel; CREATE TABLE cel (AcctId INTEGER PRIMARY KEY, eventtype, extra); INSERT INTO cel (extra) VALUES ('kept')"); err != nil {
		t.Fatal(err)
	}
	if wrong, err := InspectJournal(path); wrong == nil || err != nil {
		t.Errorf("another table: %v %v", wrong, err)
	}
	if _, wrong, err := MakeJournal(path); wrong == nil || err != nil || !strings.Contains(wrong.Do, "move the file away") {
		t.Errorf("another table: %v %v", wrong, err)
	}
	var extra string
	if err := db.QueryRow("SELECT extra FROM cel").Scan(&extra); err != nil || extra != "kept" {
		t.Errorf("its rows: %q %v", extra, err)
	}
}
