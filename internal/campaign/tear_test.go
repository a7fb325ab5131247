package campaign

import (
	"database/sql"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	_ "github.com/mattn/go-sqlite3" // what is torn is one of its files
)

// TestTearLosesTheLastWriteOnly: whatever way the log is torn, the database
// opens, and all but the last transaction is there.
func TestTearLosesTheLastWriteOnly(t *testing.T) {
	const rows = 50
	for seed := range uint64(20) {
		dir := t.TempDir()
		path, copied := filepath.Join(dir, "a.db"), filepath.Join(dir, "b.db")
		db, err := sql.Open("sqlite3", "file:"+path+"?_journal_mode=WAL")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		for i := range rows {
			text := "INSERT INTO t VALUES (1)"
			if i == 0 {
				text = "CREATE TABLE t(x)"
			}
			if _, err := db.ExecContext(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		for _, suffix := range []string{"", "-wal"} { // as it is while it is open
			text, err := os.ReadFile(path + suffix)
			if err == nil {
				err = os.WriteFile(copied+suffix, text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		detail, err := tear(copied+"-wal", rand.New(rand.NewPCG(seed, 1)))
		if err != nil {
			t.Fatal(err)
		}
		torn, err := sql.Open("sqlite3", "file:"+copied)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = torn.Close() }()
		var n int
		if err := torn.QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(&n); err != nil || n < rows-2 || n > rows-1 {
			t.Errorf("seed %d, %s: %d of %d rows: %v", seed, detail, n, rows-1, err)
		}
	}
	empty := filepath.Join(t.TempDir(), "wal")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if detail, err := tear(empty, rand.New(rand.NewPCG(1, 1))); err != nil || detail != "its log is empty" {
		t.Errorf("an empty log: %q, %v", detail, err)
	}
}
