package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// elsewhere are entries of cdr-api 12 whose expectation is held by a test under
// a name of ours, which stands first, and why. Upstream reads recordings from
// the journal of an Asterisk that records by itself; here the recorder says what
// it has done, so there is no such reading, and what matters of it is shown with
// real calls.
func elsewhere() map[string]string {
	return map[string]string{
		"simple_mixmonitor": "TestCallersRules: start and end are those of the recorder",
		"mixmonitor_on_unanswered_call_produces_no_recording":             "TestCallsWithoutAnAnswer: there is no talk, so no recorder",
		"missing_mixmonitor_extra":                                        "TestBrokenExtraStillJoinsTheBridge: a row of the journal that lacks something",
		"missing_mixmonitor_stop":                                         "TestHangupDuringTheStart: a recording ends when its file is closed, whatever was told",
		"multiple_mixmonitors":                                            "TestClaimsOverChanges: one talk has one recording, both parties are its claimants (design 6)",
		"recorded_originate":                                              "TestShapes: a call over a Local channel that Asterisk began",
		"recording_from_interception":                                     "TestPickup: the picker's leg is recorded, to its end",
		"recording_pause_resume":                                          "TestOnDemandCuts: several pieces of one file are one recording",
		"recording_pause_resume_non_standard_filename_generated_uuid":     "TestOnDemandCuts: names are uuids always (design 8)",
		"recording_end_time_uses_latest_chan_end_when_no_mixmonitor_stop": "TestTwoSecondRuleStopsByID: the end of a talk is that of its last two parties",
	}
}

// Every entry of cdr-api 12 that concerns lists, recordings, exports and
// retention has its test (issue 5, Shows 1).
func TestEveryEntryOfTheConformanceListHasATest(t *testing.T) {
	t.Parallel()
	var tests strings.Builder
	for _, pattern := range []string{"*/*_test.go", "*/*/*_test.go", "*_test.go"} {
		files, err := filepath.Glob(filepath.Join("..", "..", pattern))
		must(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "e2e/conformance_test.go") {
				continue
			}
			data, err := os.ReadFile(file)
			must(t, err)
			tests.Write(data)
		}
	}
	data, err := os.ReadFile(filepath.Join("testdata", "upstream-tests.txt"))
	must(t, err)
	other, n := elsewhere(), 0
	for name := range strings.FieldsSeq(regexp.MustCompile(`(?m)^#.*$`).ReplaceAllString(string(data), "")) {
		n++
		what := `\b` + name + `\b`
		if why, ok := other[name]; ok {
			of, _, _ := strings.Cut(why, ":")
			what = `(?m)^func ` + of + `\(t \*testing`
			delete(other, name)
		}
		if !regexp.MustCompile(what).MatchString(tests.String()) {
			t.Errorf("%s has no test: %s", name, what)
		}
	}
	if n < 130 || len(other) > 0 {
		t.Errorf("%d entries were read, these are none: %v", n, other)
	}
}
