package campaign

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"callrecordd/internal/bench/load"
	"callrecordd/internal/campaign/voice"
)

// Class is what became of a call, by telephones and files alone.
type Class string

// The classes.
const (
	NothingRequired Class = "nothing_required"
	Covered         Class = "covered"
	Missing         Class = "missing" // nothing of it is in a file
	Late            Class = "late"    // its begin is missing
	Short           Class = "short"   // its end
	Gap             Class = "gap"     // something in between
	Corrupt         Class = "corrupt" // a file of it cannot be read, and something lacks
	Unexpected      Class = "unexpected"
)

// tolerances, in frames. A recorder starts after the answer, so its first words
// may be missing without harm; what a busy machine drops on the way is no gap.
type tolerances struct {
	start, end, inside, foreign int
	// near is by how much two measures of the same thing may differ: the audit
	// goes by clocks and lengths, we by what was said when.
	near int
}

// by are others by so many frames.
func (t tolerances) by(n int) tolerances {
	return tolerances{t.start + n, t.end + n, t.inside + n, t.foreign + n, 0}
}

// Truth is what the telephones have sent and the files have.
type Truth struct {
	Class Class `json:"class"`
	// Also are classes that are true as well: two parts of it are missing, or
	// the measure is just reached.
	Also []Class `json:"also,omitempty"`
	// Required, Heard and Unwanted are of the caller's voice.
	Required time.Duration `json:"required"`
	Heard    time.Duration `json:"heard"`
	Unwanted time.Duration `json:"unwanted,omitempty"`
	// Twice is what is in two files at the same time, or twice in one.
	Twice time.Duration `json:"twice,omitempty"`
	// OneSided: the caller is heard but for long not the callee.
	OneSided bool `json:"one_sided,omitempty"`
	// Map shows the half seconds of the talk: # heard, + in part, - missing,
	// . neither required nor heard, ! heard against the rules.
	Map string `json:"map"`
	// Unjudged says why nothing can be said of a call: a press may have fallen
	// on deaf ears.
	Unjudged string `json:"unjudged,omitempty"`
	inOne    bool   // all that is heard is in one file
	inFile   bool   // there is a file that can be read
}

// is says whether a class is true of the call.
func (t Truth) is(c Class) bool { return t.Class == c || slices.Contains(t.Also, c) }

// lasted is how many frames of the talk both sides could hear: until the BYE,
// or until Asterisk ended it or died.
func lasted(d Drawn, c load.Call, killed []time.Time) int {
	if c.Answered.IsZero() {
		return 0
	}
	end := c.Answered.Add(d.Talk)
	if !c.Over.IsZero() && c.Over.Before(end) {
		end = c.Over
	}
	for _, k := range killed {
		if k.After(c.Invite) && k.Before(end) {
			end = k
		}
	}
	return max(0, int(end.Sub(c.Answered)/voice.Frame))
}

// judge says what became of a call. heard is what is in its files that can be
// read; killed are the times of SIGKILL of Asterisk.
func judge(d Drawn, c load.Call, heard []voice.Heard, killed []time.Time, tol tolerances) Truth {
	frames := lasted(d, c, killed)
	var must, may, got [voice.Longest / voice.Tick]int
	for f := range frames {
		if !d.said(f) {
			continue
		}
		if wanted, unwanted := d.wanted(f); wanted {
			must[f/voice.TickFrames]++
		} else if !unwanted {
			may[f/voice.TickFrames]++
		}
	}
	callee, alone, files := 0, 0, 0
	for _, h := range heard {
		if h.Caller() > 0 {
			files++
		}
		for i, n := range h.Ticks {
			got[i] += n
		}
		callee += h.Callee
		alone += h.Caller() - h.Callee
	}
	t := Truth{inFile: len(heard) > 0, inOne: files == 1, OneSided: alone > callee/5+tol.start+tol.end}
	var text strings.Builder
	var lack []part
	for i := range must {
		unwanted := 0
		switch {
		case must[i] > 0:
			lack = append(lack, part{must[i], max(0, must[i]-got[i])})
			t.Twice += frameTime(max(0, got[i]-voice.TickFrames))
			t.Heard += frameTime(min(must[i], got[i]))
			t.Required += frameTime(must[i])
		case got[i] > may[i]:
			unwanted = got[i] - may[i]
			t.Unwanted += frameTime(unwanted)
		}
		text.WriteByte(sign(must[i], got[i], unwanted))
	}
	t.Map = strings.TrimRight(text.String(), ".")
	t.classify(lack, tol)
	return t
}

func sign(must, got, unwanted int) byte {
	switch {
	case must > 0 && got == 0:
		return '-'
	case must > got:
		return '+'
	case must > 0:
		return '#'
	case unwanted > 0:
		return '!'
	default:
		return '.'
	}
}

func frameTime(n int) time.Duration { return time.Duration(n) * voice.Frame }

// broken says that a file of the call cannot be read: then what lacks may be in
// there, and for who wants to hear it both is true.
func (t *Truth) broken() {
	if t.is(Missing) || t.is(Late) || t.is(Short) || t.is(Gap) {
		t.Also = append(t.Also, t.Class)
		t.Class = Corrupt
	}
}

// lingers says that the caller hung up and Asterisk took that much later: for the
// PBX, and for the callee, the talk went on, and what of that is in a file is
// nothing of the caller's.
func (t *Truth) lingers() {
	for _, c := range []Class{Short, Gap} {
		if t.Required > 0 && !t.is(c) {
			t.Also = append(t.Also, c)
		}
	}
}

// stoodAtBegin says that Asterisk stood still when the talk began: who does not
// understand the voices cannot tell where in the file they lack.
func (t *Truth) stoodAtBegin() {
	if t.inOne && t.is(Late) && !t.is(Gap) {
		t.Also = append(t.Also, Gap)
	}
}

// classify finds the classes from how many frames lack in each half second that
// was required.
func (t *Truth) classify(lack []part, tol tolerances) {
	add := func(c Class) {
		if t.Class == "" {
			t.Class = c
		} else if !t.is(c) {
			t.Also = append(t.Also, c)
		}
	}
	t.measure(lack, tol, false, add)
	if t.Class == "" {
		t.Class = Covered
		if len(lack) == 0 {
			t.Class = NothingRequired
		}
	}
	if len(lack) > 0 && t.Required <= frameTime(tol.start+tol.near) { // too short to matter
		add(NothingRequired)
		add(Missing)
	}
	if t.inFile && t.Heard <= frameTime(tol.near) && t.is(Missing) { // hardly anything, whatever one calls that
		add(Late)
		add(Short)
	}
	// On the verge of a class both are true, and so they are if a hole follows a
	// late begin within a second.
	verge := *t
	verge.Class, verge.Also = "", nil
	for _, other := range []struct {
		by    int
		apart bool
	}{{-tol.near, false}, {tol.near, false}, {0, true}} {
		found := false
		verge.measure(lack, tol.by(other.by), other.apart, func(c Class) { found = true; add(c) })
		if !found && len(lack) > 0 {
			add(Covered)
		}
	}
	// Who does not understand the voices cannot tell where in a file they lack.
	if t.inOne && t.is(Gap) != t.is(Short) {
		add(Gap)
		add(Short)
	}
}

// measure finds what is beyond the tolerances, the worst first; apart as where has it.
func (t *Truth) measure(lack []part, tol tolerances, apart bool, add func(Class)) {
	if t.Heard <= frameTime(2) && t.Required > frameTime(max(tol.start, tol.end)) {
		add(Missing)
		return
	}
	begin, between, end := where(lack, apart)
	for _, c := range []struct {
		class    Class
		lack, by int
	}{{Short, end, tol.end}, {Late, begin, tol.start}, {Gap, between, tol.inside}} {
		if c.lack > c.by {
			add(c.class)
		}
	}
	if t.Unwanted > frameTime(tol.foreign) {
		add(Unexpected)
	}
}

// part is a half second of the talk: how many frames had to be recorded, and
// how many of them are not.
type part struct{ must, lack int }

// whole says that nothing of it lacks that matters.
func (p part) whole() bool { return p.lack <= p.must/5 }

// where says how many frames lack at the begin, in between and at the end. What
// lacks in the first half second of which something is heard lacks at the begin
// if the next one is whole; if not, it was heard before the hole, unless both are
// apart: the begin was late, and then there was a hole. The end likewise.
func where(list []part, apart bool) (begin, between, end int) {
	first, last := 0, len(list)-1
	for ; first <= last && list[first].lack == list[first].must; first++ {
		begin += list[first].lack
	}
	for ; last > first && list[last].lack == list[last].must; last-- {
		end += list[last].lack
	}
	if first < last && (apart || list[first+1].whole()) {
		begin += list[first].lack
		first++
	}
	if first < last && (apart || list[last-1].whole()) {
		end += list[last].lack
		last--
	}
	for i := first; i <= last; i++ {
		between += list[i].lack
	}
	return begin, between, end
}

// String is a line for people.
func (t Truth) String() string {
	return fmt.Sprintf("%s [%s] %s of %s heard", t.Class, t.Map, t.Heard, t.Required)
}
