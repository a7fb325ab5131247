package campaign

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// outFolder is where the run in the namespace leaves its report.
const outFolder = "CALLRECORDD_CAMPAIGN_OUT"

// TestShortCampaign is the short form of `make campaign`: real calls while each
// fault happens once. Every call has its CDR, and the audit says of each what
// telephones and files say.
func TestShortCampaign(t *testing.T) {
	if os.Getenv(entered) == "" {
		t.Setenv(outFolder, t.TempDir())
	}
	var said bytes.Buffer
	inside, err := Enter([]string{"-test.run=^TestShortCampaign$", "-test.v", "-test.timeout=5m"}, &said, &said)
	if !inside {
		t.Logf("in a mount namespace of its own:\n%s", said.String())
		if err == nil && !strings.Contains(said.String(), "--- PASS: TestShortCampaign") {
			err = errors.New("it was not run there")
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if !inside {
		return
	}
	out := os.Getenv(outFolder)
	binary := filepath.Join(t.TempDir(), "callrecordd")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-tags", "sqlite_fts5", "-o", binary, "./cmd/callrecordd")
	cmd.Dir = filepath.Join("..", "..")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, text)
	}
	report, err := Run(t.Context(), Options{
		Binary: binary, Out: out, Time: time.Minute, Rate: 4, Rounds: 1, Seed: 20261201, Progress: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	report.Text(t.Output())
	if !report.Passed() {
		t.Error("the campaign has failed")
	}
	for _, f := range report.Faults {
		if f.Times != 1 {
			t.Errorf("%s happened %d times", f.Name, f.Times)
		}
	}
	if report.Counted < 150 {
		t.Errorf("only %d calls count", report.Counted)
	}
	for _, name := range []string{"report.json", "report.txt", "audit.json", "audit.html"} {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s is not in the report: %v", name, err)
		}
	}
}
