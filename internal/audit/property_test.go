package audit

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/recorder"
)

// A drawn call with a drawn fault is classed as the drawing says, with as many
// seconds lacking, whatever small delays, pauses and transfers it has besides.
func TestTheClassIsWhatWasDrawn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		length := rapid.Float64Range(8, 90).Draw(rt, "length")
		wanted := rapid.Bool().Draw(rt, "wanted")
		flags := dialplan.Flags{}
		if wanted {
			flags = out
		}
		d := newDrawing(rt, 0, length, flags)
		seen := rapid.IntRange(0, 5).Draw(rt, "seen") > 0
		ids := d.transferred(rt, length)
		if seen {
			d.decided(rapid.Float64Range(0, 0.3).Draw(rt, "decided"), "began", nil, "1.1", "1.2")
			if len(ids) > 2 {
				d.decided(length/2+0.01, "changed", nil, "1.1", "1.3")
			}
		} else {
			d.world.Outages = []Outage{{Kind: DaemonDown, From: at(-5), To: at(length + 5), Event: 3}}
		}
		start, stop := rapid.Float64Range(0.001, 0.3).Draw(rt, "start"), length-rapid.Float64Range(0, 0.3).Draw(rt, "stop")
		x := rapid.Float64Range(1.2, length-4).Draw(rt, "x")
		class, lacks := Covered, 0.0
		switch fault := rapid.SampledFrom([]string{
			"none", "late", "short", "gap", "few", "empty", "failed", "nothing", "gone", "deleted", "altered", "broken", "unmounted",
		}).Draw(rt, "fault"); fault {
		case "none":
			r := d.recorded(start, stop, stop-start, recorder.Ready, "")
			if rapid.Bool().Draw(rt, "paused") {
				p := rapid.Float64Range(start+0.1, stop-2).Draw(rt, "pause")
				r.Pauses = []recorder.Pause{{From: at(p), To: at(p + 1.5), Silence: recorder.Silent}}
			}
		case "late":
			d.recorded(x, stop, stop-x, recorder.Ready, "")
			class, lacks = Late, x
		case "short":
			d.recorded(start, length-x, length-x-start, recorder.Ready, recorder.CauseClosedEarly)
			class, lacks = Short, x
		case "gap":
			d.recorded(start, 1, 1-start, recorder.Ready, recorder.CauseClosedEarly)
			d.recorded(1+x, stop, stop-1-x, recorder.Ready, "")
			class, lacks = Gap, x
		case "few":
			d.recorded(start, length, length-start-x, recorder.Ready, "")
			class, lacks = Gap, x
		case "empty":
			d.recorded(start, stop, 0, recorder.Empty, recorder.CauseNoAudio)
			class, lacks = Empty, length
		case "failed":
			d.recorded(start, stop, 0, recorder.Missing, recorder.CauseNoSpace)
			class, lacks = Missing, length
		case "nothing":
			class, lacks = Missing, length
		case "gone":
			d.recorded(start, stop, stop-start, recorder.Ready, "").File = Found{Looked: true}
			class, lacks = Missing, stop-start
		case "deleted":
			d.recorded(start, stop, stop-start, recorder.Deleted, "").Removed = &Authority{Actor: "root"}
			class = Deleted
		case "altered":
			r := d.recorded(start, stop, stop-start, recorder.Ready, "")
			r.File.Reread, r.File.SHA256, r.File.Samples = true, "wrong", int64((stop-start-x)*8000)
			if rapid.Bool().Draw(rt, "as long as it was") {
				r.File.Samples = r.Samples
			}
			class, lacks = Corrupt, stop-start
		case "broken":
			d.recorded(start, stop, stop-start, recorder.Ready, "").File.Broken = "no wav"
			class, lacks = Corrupt, stop-start
		case "unmounted":
			d.recorded(start, stop, stop-start, recorder.Ready, "").File = Found{Unknown: "not mounted"}
			class, lacks = Unverifiable, stop-start
		}
		audio := 0.0
		for i := range d.call.Recordings {
			d.call.Recordings[i].Legs = ids
			if f := d.call.Recordings[i].File; f.Exists && f.Broken == "" {
				audio += f.Seconds()
			}
		}
		if !wanted {
			class, lacks = NotRequired, 0
			switch {
			case audio > 0.5 && slicesAltered(d):
				class = Corrupt
			case audio > 0.5:
				class = Unexpected
			case slicesAltered(d):
				class = Corrupt
			}
		}
		v := d.verdict()
		if v.Class != class {
			rt.Fatalf("%s, want %s: %s", v.Class, class, v.Explanation)
		}
		if wanted && math.Abs(v.LackingSeconds-lacks) > 1 {
			rt.Fatalf("%.2f s lack, want %.2f: %s", v.LackingSeconds, lacks, v.Explanation)
		}
		for _, f := range v.Findings {
			if f.Text == "" || f.Cause == "" || f.To.Before(f.From) {
				rt.Fatalf("not explained: %+v", f)
			}
		}
	})
}

func slicesAltered(d *drawing) bool {
	for _, r := range d.call.Recordings {
		if r.File.Reread {
			return true
		}
	}
	return false
}

// transferred has the second half of the talk be with another party, or not, and
// returns who took part.
func (d *drawing) transferred(rt *rapid.T, length float64) []string {
	if !rapid.Bool().Draw(rt, "transferred") {
		return []string{"1.1", "1.2"}
	}
	talk := &d.call.Talks[0]
	half := at(length / 2)
	talk.Spans[0].To = half
	talk.Spans = append(talk.Spans, call.Span{From: half, To: at(length), Legs: legs("1.1", "1.3")})
	return []string{"1.1", "1.2", "1.3"}
}

// What is left and what was cut out are together what was there.
func TestWithoutAndWithinAreAWhole(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(name string) stretch {
			a := rapid.Float64Range(0, 100).Draw(rt, name+" from")
			return stretch{at(a), at(a + rapid.Float64Range(0, 50).Draw(rt, name+" length"))}
		}
		list := joined([]stretch{draw("a"), draw("b"), draw("c")})
		cut := draw("cut")
		rest := without(list, []stretch{cut})
		if got, want := total(rest)+total(within(list, cut)), total(list); got != want {
			rt.Fatalf("%s, want %s", got, want)
		}
		if len(within(rest, cut)) > 0 {
			rt.Fatalf("%v is in %v", cut, rest)
		}
	})
}
