package campaign

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Report is what a campaign has shown.
type Report struct {
	Seed     uint64    `json:"seed"`
	Begun    time.Time `json:"begun"`
	Ended    time.Time `json:"ended"`
	Asterisk string    `json:"asterisk"`

	Placed   int `json:"placed"`
	Answered int `json:"answered"`
	Counted  int `json:"counted"` // must have exactly one CDR
	CDRs     int `json:"cdrs"`
	Files    int `json:"files"`
	Unjudged int `json:"unjudged"` // of the counted
	// Busy are those of them whose telephone was late.
	Busy int `json:"busy"`
	// Alike are calls of which more than one class is true, where the audit named
	// another one than came to our mind first.
	Alike int `json:"alike"`

	Faults    []FaultCount `json:"faults"`
	Incidents []Incident   `json:"incidents"`

	// Wrong are calls with a wrong number of CDRs or another call's voice.
	Wrong []Case `json:"wrong"`
	// Strange are CDRs and files of no call.
	Strange []string `json:"strange"`
	// Classes counts the judged calls by what became of them.
	Classes map[Class]int `json:"classes"`
	// Agreement compares the audit's classes with that.
	Agreement []Agreement `json:"agreement"`
	// Disagreements are calls of which the audit says something else.
	Disagreements []Case `json:"disagreements"`
	// Notes are calls with something odd that breaks no promise.
	Notes []Case `json:"notes"`
	// NotCounted and NotJudged are named.
	NotCounted []Case `json:"not_counted"`
	NotJudged  []Case `json:"not_judged"`
	// NotTold are those of which the audit says that it cannot know.
	NotTold []Case `json:"not_told"`
	// Backup is what came of the backups that were taken in the midst.
	Backup string `json:"backup"`

	judged map[[2]Class]int
}

// FaultCount is how often a fault happened.
type FaultCount struct {
	Name  string `json:"name"`
	About string `json:"about"`
	Times int    `json:"times"`
}

// Agreement is about one class.
type Agreement struct {
	Class Class `json:"class"`
	Truth int   `json:"truth"` // calls of this class by telephones and files
	Audit int   `json:"audit"` // by the audit
	Both  int   `json:"both"`
}

// Precision is the share of the audit's calls of the class that are.
func (a Agreement) Precision() float64 { return share(a.Both, a.Audit) }

// Recall is the share of calls of the class that the audit says are.
func (a Agreement) Recall() float64 { return share(a.Both, a.Truth) }

func share(n, of int) float64 {
	if of == 0 {
		return 1
	}
	return float64(n) / float64(of)
}

// Passed says whether every promise was kept.
func (r Report) Passed() bool {
	return len(r.Wrong) == 0 && len(r.Strange) == 0 && len(r.Disagreements) == 0 && !r.TooBusy()
}

// TooBusy says that too many telephones were late for the campaign to mean much.
func (r Report) TooBusy() bool { return r.Busy*20 > r.Counted }

// judge compares a call's class with the audit's.
func (r *Report) judge(c Case) {
	if r.judged == nil {
		r.judged = make(map[[2]Class]int)
	}
	if len(c.Audit) != 1 {
		c.Problem = fmt.Sprintf("the audit says %d things of it", len(c.Audit))
		r.Disagreements = append(r.Disagreements, c)
		r.judged[[2]Class{c.Truth.Class, ""}]++
		return
	}
	said := c.Audit[0].class()
	if c.Truth.is(said) {
		if said != c.Truth.Class {
			r.Alike++
		}
		r.judged[[2]Class{said, said}]++
		return
	}
	r.judged[[2]Class{c.Truth.Class, said}]++
	c.Problem = fmt.Sprintf("the audit says %s (%s)", said, c.Audit[0].Class)
	r.Disagreements = append(r.Disagreements, c)
}

// agree sums up.
func (r *Report) agree() {
	for _, class := range []Class{NothingRequired, Covered, Missing, Corrupt, Late, Short, Gap, Unexpected} {
		a := Agreement{Class: class}
		for pair, n := range r.judged {
			if pair[0] == class {
				a.Truth += n
			}
			if pair[1] == class {
				a.Audit += n
			}
			if pair[0] == class && pair[1] == class {
				a.Both += n
			}
		}
		if a.Truth+a.Audit > 0 {
			r.Agreement = append(r.Agreement, a)
		}
	}
}

// write leaves the report in the folder.
func (r Report) write(dir string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	var b strings.Builder
	r.Text(&b)
	for name, content := range map[string][]byte{"report.json": append(text, '\n'), "report.txt": []byte(b.String())} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}

// Text prints the report for people.
func (r Report) Text(w io.Writer) {
	say := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	say("Fault campaign of %s, %s, seed %d, Asterisk %s", r.Begun.Format("2006-01-02 15:04"), r.Ended.Sub(r.Begun).Round(time.Second), r.Seed, r.Asterisk)
	say("")
	say("%6d calls placed, %d answered; %d CDRs, %d files", r.Placed, r.Answered, r.CDRs, r.Files)
	say("%6d calls count: they rang or were answered %s or more before any SIGKILL of Asterisk", r.Counted, beforeKill)
	say("%6d of them cannot be judged: *3 was pressed while nobody could notice, or (%d) the telephone was late", r.Unjudged, r.Busy)
	say("%6d have more than one true class, and the audit names the second", r.Alike)
	say("%6d are unverifiable, says the audit, because Asterisk stood still in them, and it did", len(r.NotTold))
	say("%6d calls without exactly one CDR, or with another call's voice", len(r.Wrong))
	say("%6d files or CDRs of no call", len(r.Strange))
	say("%6d calls of which the audit says something else than telephones and files", len(r.Disagreements))
	say("")
	say("  %-15s  %5s  %s", "FAULT", "TIMES", "")
	for _, f := range r.Faults {
		say("  %-15s  %5d  %s", f.Name, f.Times, f.About)
	}
	say("")
	say("  %-18s %6s %6s %9s %7s", "CLASS", "TRUTH", "AUDIT", "PRECISION", "RECALL")
	for _, a := range r.Agreement {
		say("  %-18s %6d %6d %8.2f%% %6.2f%%", a.Class, a.Truth, a.Audit, 100*a.Precision(), 100*a.Recall())
	}
	if r.Backup != "" {
		say("")
		say("Backup: %s", r.Backup)
	}
	section(w, "Wrong", r.Wrong)
	for i, s := range r.Strange {
		if i == 0 {
			say("\nOf no call:")
		}
		say("  %s", s)
	}
	section(w, "Disagreements", r.Disagreements)
	section(w, "Odd, but no promise broken", r.Notes)
	say("\nNot counted, %d calls: %s", len(r.NotCounted), names(r.NotCounted))
	say("\nNot judged, %d calls: %s", len(r.NotJudged), names(r.NotJudged))
	say("\nUnverifiable by the audit's own word, %d calls: %s", len(r.NotTold), names(r.NotTold))
	say("")
	if r.Passed() {
		say("PASSED: exactly one CDR for each of %d calls, and the audit is right about each that can be judged.", r.Counted)
	} else if r.TooBusy() {
		say("FAILED: the machine is too busy, more than a twentieth of the telephones were late.")
	} else {
		say("FAILED")
	}
}

// names groups calls by what is said of them.
func names(list []Case) string {
	by := make(map[string][]string)
	for _, c := range list {
		key, _, _ := strings.Cut(c.Problem, ":")
		if strings.HasSuffix(c.Problem, "Asterisk") {
			key = "less than " + beforeKill.String() + " before a SIGKILL of Asterisk"
		}
		by[key] = append(by[key], fmt.Sprint(c.Call.N))
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(by)) {
		out = append(out, k+" ("+fmt.Sprint(len(by[k]))+"): "+strings.Join(by[k], " "))
	}
	return strings.Join(out, "; ")
}

func section(w io.Writer, title string, list []Case) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n", title)
	for _, c := range list {
		fmt.Fprint(w, c.text())
	}
}

// text is all the evidence of a case in a few lines.
func (c Case) text() string {
	var b strings.Builder
	at := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.Format("15:04:05.000")
	}
	p := c.Phone
	fmt.Fprintf(&b, "  call %d (%s, %s): %s\n", c.Call.N, c.Call.Exten, c.Call.Ending, c.Problem)
	fmt.Fprintf(&b, "    %s: %s → %s, by rule %t, presses %v; INVITE %s, 180 %s, 200 %s, BYE %s, over %s %s\n", c.Call.Kind, c.Call.Caller, c.Call.Callee,
		c.Call.ByRule, c.Call.Presses, at(p.Invite), at(p.Ringing), at(p.Answered), at(p.Bye), at(p.Over), p.Failure)
	fmt.Fprintf(&b, "    truth: %s %v\n", c.Truth, c.Truth.Also)
	for _, cdr := range c.CDRs {
		end, answer := "-", "-"
		if cdr.End != nil {
			end = at(cdr.End.Local())
		}
		if cdr.Answer != nil {
			answer = at(cdr.Answer.Local())
		}
		fmt.Fprintf(&b, "    CDR %d: %s, answer %s, end %s, %s", cdr.ID, at(cdr.Start.Local()), answer, end, cdr.Status)
		for _, rec := range cdr.Recordings {
			fmt.Fprintf(&b, "; recording %s %s", rec.UUID, rec.State)
		}
		b.WriteString("\n")
	}
	for _, f := range c.Files {
		h := f.frames.Listen(c.Call.N)
		fmt.Fprintf(&b, "    file %s: %s, heard from %s to %s, ticks %v %s\n", f.UUID, f.Length, h.First, h.Last, h.Ticks, f.fault)
	}
	for _, v := range c.Audit {
		fmt.Fprintf(&b, "    audit: %s\n", v)
	}
	for _, in := range c.Meanwhile {
		fmt.Fprintf(&b, "    meanwhile: %s from %s to %s, ready %s %s\n", in.Fault, at(in.At), at(in.Until), at(in.Ready), in.Detail)
	}
	return b.String()
}
