package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/recorder"
)

// text puts a finding into a sentence: what is not covered, from when to when,
// whose, and why.
func (j *judging) text(f Finding, c *cover) string {
	when := seconds(f.Seconds) + " (" + period(f.From, f.To) + ")"
	who := j.who()
	because := j.cause(f, c)
	switch f.Class {
	case Missing:
		return fmt.Sprintf("Not in any file: %s of the talk of %s. %s", when, who, because)
	case Empty:
		return fmt.Sprintf("The file has no audio of %s of the talk of %s. %s", when, who, because)
	case Late:
		return fmt.Sprintf("The beginning of the talk of %s is missing: %s. %s", who, when, because)
	case Short:
		return fmt.Sprintf("The end of the talk of %s is missing: %s. %s", who, when, because)
	case Gap:
		return fmt.Sprintf("A part of the talk of %s is missing: %s. %s", who, when, because)
	case Corrupt:
		if f.Seconds == 0 { // as long as it was
			when = period(f.From, f.To)
		}
		return fmt.Sprintf("The recording of the talk of %s cannot be relied on: %s. %s", who, when, because)
	case Deleted:
		return fmt.Sprintf("Removed: %s of the talk of %s. %s", when, who, because)
	case Unexpected:
		return fmt.Sprintf("Recorded though nobody asked for it: %s of the talk of %s. %s", when, who, because)
	case Unverifiable:
		return fmt.Sprintf("It cannot be known whether the talk of %s is recorded as it has to be. %s", who, because)
	case Covered, NotRequired, Imported:
	}
	return because
}

func seconds(s float64) string {
	if s < 10 {
		return fmt.Sprintf("%.1f s", s)
	}
	return (time.Duration(s*10) * time.Second / 10).Round(time.Second).String()
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "an unknown time"
	}
	return t.UTC().Format("2006-01-02 15:04:05.0") + " UTC"
}

// period is from when to when, with the day once if it is the same.
func period(from, to time.Time) string {
	a, b := clock(from), clock(to)
	if to.IsZero() {
		return a + " until now"
	}
	if day := len("2006-01-02 "); !from.IsZero() && a[:day] == b[:day] {
		return strings.TrimSuffix(a, " UTC") + " to " + b[day:]
	}
	return a + " to " + b
}

// who names the parties, by what people call them.
func (j *judging) who() string {
	var out []string
	for _, p := range j.verdict.Parties {
		if name := cmp.Or(p.Name, p.Endpoint, p.Leg); !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return "this call"
	}
	return strings.Join(out, " and ")
}

// cause says why, with what is known of it.
func (j *judging) cause(f Finding, c *cover) string {
	text := causeText(f.Cause)
	switch {
	case f.Text != "": // of what could not be read
		text = f.Text
	case f.Cause == CauseRemoved && c != nil && c.Removed != nil:
		text = fmt.Sprintf("%s has removed the file at %s (%s)", cmp.Or(c.Removed.Actor, "somebody"), clock(c.Removed.At), cmp.Or(c.Removed.Why, "no reason given"))
	case f.Cause == CauseAltered && c != nil && c.File.Bytes == c.Bytes:
		text += ": it is as long as it was, and its SHA-256 is another one"
	case f.Cause == CauseAltered && c != nil:
		text += fmt.Sprintf(": it holds %d bytes and %s of audio, and %d bytes were stored", c.File.Bytes, seconds(c.File.Seconds()), c.Bytes)
	case f.Cause == CauseNotReadable && c != nil:
		text += ": " + c.File.Unknown
	case f.Cause == recorder.CauseUnreadable && c != nil && c.File.Broken != "":
		text += ": " + c.File.Broken
	case f.Cause == CauseFewFrames && c != nil:
		text = fmt.Sprintf("the recorder ran for %s and wrote %s: Asterisk writes nothing while nobody sends, or it could not write",
			seconds(c.clock.length().Seconds()), seconds(c.File.Seconds()))
	case f.Cause == CausePauseHeard && c != nil:
		text += " at " + clock(f.From)
	case c != nil && c.Cause == f.Cause && c.Detail != "":
		text += " (" + c.Detail + ")"
	}
	out := []string{upper(text) + "."}
	if f.Event != 0 {
		if i := slices.IndexFunc(j.world.Outages, func(o Outage) bool { return o.Event == f.Event }); i >= 0 {
			out = append(out, j.world.Outages[i].String()+".")
		}
	}
	if len(f.Told) > 0 {
		out = append(out, "Told: "+strings.Join(toldTexts(f.Told), "; ")+".")
	}
	return strings.Join(out, " ")
}

func outageKinds() []OutageKind {
	return []OutageKind{DaemonDown, AsteriskGone, EventsGone, ManagerGone, StorageGone, Alarmed, JournalGap, ClockJumped, AsteriskStalled}
}

func toldTexts(list []Notice) (out []string) {
	for _, n := range list {
		text := n.How + " at " + clock(n.At)
		if n.State != "" {
			text += " (" + n.State + ")"
		}
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

// String says what was away from when to when.
func (o Outage) String() string {
	what := map[OutageKind]string{
		DaemonDown: "callrecordd did not run", EventsGone: "Asterisk's events were not seen", AsteriskGone: "Asterisk was away and started anew", AsteriskStalled: "Asterisk stood still",
		ManagerGone: "Asterisk's manager could not be reached", JournalGap: "the journal of calls was not complete",
		StorageGone: "the recordings' disk could not be written", ClockJumped: "the clock was set", Alarmed: "an alarm was raised",
	}[o.Kind]
	text := cmp.Or(what, string(o.Kind)) + ", " + period(o.From, o.To)
	if o.Unsure {
		text += ", or since later"
	}
	if o.Detail != "" {
		text += " (" + o.Detail + ")"
	}
	return upper(text)
}

func upper(s string) string {
	if s == "" || strings.HasPrefix(s, "callrecordd") {
		return s // the program's name
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func causeText(cause string) string {
	text, ok := map[string]string{
		CauseFileGone:                    "the file was there and is gone, and no order to remove it is stored",
		CauseAltered:                     "the file is not the one that was recorded",
		CauseFewFrames:                   "the recorder ran, and wrote less audio than time passed: nobody sent any, or Asterisk could not write",
		CauseSlowStart:                   "Asterisk took long to start the recorder",
		CauseSeenLate:                    "callrecordd was told late by Asterisk that they talked: its connection or this machine was slow",
		CauseNotStarted:                  "no recorder was started, and no reason is stored",
		CauseReplaced:                    "no recorder ran then, and no reason is stored",
		CauseRemoved:                     "the file was removed",
		CauseOpen:                        "the recording is not finished yet",
		CauseNotReadable:                 "the file could not be looked at",
		CauseNoRecord:                    "the recording belongs to no call that is known",
		CauseNoTalks:                     "who talked when is not known",
		CauseNoRule:                      "no rule and nobody asked for it then",
		CausePauseHeard:                  "the file is not silent in a pause",
		CauseUnreadable:                  "what was stored cannot be read",
		string(DaemonDown):               "callrecordd was not running or not connected",
		string(EventsGone):               "callrecordd did not see Asterisk's events",
		string(AsteriskGone):             "Asterisk ended",
		string(AsteriskStalled):          "Asterisk stood still: the file has its length, and may lack what was said meanwhile",
		string(ManagerGone):              "callrecordd could not reach Asterisk's manager",
		string(StorageGone):              "the recordings' disk could not be written",
		string(ClockJumped):              "the clock was set while the call went on, so its times cannot be compared",
		string(Alarmed):                  "an alarm was raised at the time",
		string(dialplan.NoneFlagsOff):    "no rule asks for it",
		string(dialplan.NoneNoUser):      "none of the parties is a user with a rule",
		string(dialplan.NeverReason):     "a queue, a group or a trunk lets no rule record its calls",
		string(dialplan.EndpointUnknown): "none of the parties has a rule, and one is not in the directory",
	}[cause]
	switch {
	case ok:
		return text
	case cause == "":
		return "the cause is not known"
	}
	if text, ok := recorder.CauseText(cause); ok {
		return text
	}
	return cause
}

// explain is the verdict in a sentence or two.
func (j *judging) explain() string {
	v := j.verdict
	var out []string
	for _, f := range v.Findings {
		out = append(out, f.Text)
	}
	switch {
	case len(out) > 0:
	case v.Class == Covered:
		return fmt.Sprintf("All %s that had to be recorded of the talk of %s are in a file.", seconds(v.RequiredSeconds), j.who())
	case len(v.Required) > 0:
		return fmt.Sprintf("The talk of %s lasted %s, which is less than the tolerance.", j.who(), seconds(v.RequiredSeconds))
	case len(v.Parties) == 0:
		return "Nobody talked with anybody."
	default:
		return fmt.Sprintf("The talk of %s did not have to be recorded, and is in no file: %s.", j.who(), causeText(v.Reason))
	}
	return strings.Join(out, " ")
}
