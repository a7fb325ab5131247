package audit

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"
)

//go:embed report.html.tmpl
var page string

// HTML writes a report as one page that needs nothing from elsewhere: no script,
// no font, no picture. It can be read in the dark, printed and sent.
func HTML(w io.Writer, r Report) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"when": func(t time.Time) string { return clock(t) }, "long": func(s float64) string { return seconds(s) },
		"word": word, "percent": percent, "told": func(l []Notice) string { return strings.Join(toldTexts(l), "; ") },
	}).Parse(page)
	if err != nil {
		return fmt.Errorf("read the template of the report: %w", err)
	}
	whole := r.Tenants.Whole()
	if err := t.Execute(w, map[string]any{
		"R": r, "Whole": whole, "Head": headline(whole), "Line": lineOf(r), "Tenants": rowsOf(r.Tenants), "Legend": legend(whole), "Why": reasons(r),
	}); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func word(c Class) string { return strings.ReplaceAll(string(c), "_", " ") }

// percent never rounds up to 100.
func percent(p float64) string {
	text := fmt.Sprintf("%.2f", p)
	if p < 100 && text == "100.00" {
		text = "99.99"
	}
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".") + " %"
}

// headline is what somebody in a hurry reads.
func headline(s Sum) string {
	switch {
	case s.Calls == 0:
		return "No call began in this period."
	case s.Bad == 0 && s.RequiredSeconds == 0:
		return "Nothing had to be recorded, and nothing was."
	case s.Bad == 0:
		return "Everything that had to be recorded is in a file."
	case s.Bad == 1:
		return "One call is not as it has to be."
	}
	return fmt.Sprintf("%d calls are not as they have to be.", s.Bad)
}

// tenantRow is a tenant in the table.
type tenantRow struct {
	Name string
	Sum
	Badges []badge
}

type badge struct {
	Class Class
	N     int
}

func rowsOf(sums Sums) (out []tenantRow) {
	for _, s := range sums {
		out = append(out, tenantRow{cmp.Or(s.Name, s.Tenant), s, badges(s)})
	}
	return out
}

func badges(s Sum) (out []badge) {
	for _, c := range Classes() {
		if n := s.By[c]; n > 0 {
			out = append(out, badge{c, n})
		}
	}
	return out
}

// legendRow explains a class that occurs.
type legendRow struct {
	Class Class
	N     int
	Text  string
}

func legend(s Sum) (out []legendRow) {
	text := map[Class]string{
		Covered:      "all that had to be recorded is in a file",
		NotRequired:  "nothing had to be recorded, and nothing was",
		Late:         "the beginning is missing",
		Short:        "the end is missing",
		Gap:          "something between is missing",
		Empty:        "there is a file without audio",
		Missing:      "there is no file",
		Corrupt:      "the file cannot be read, or is not the one that was recorded",
		Deleted:      "it was there, and somebody who may has removed it",
		Unverifiable: "it cannot be known",
		Unexpected:   "recorded though no rule and nobody asked for it",
		Imported:     "brought in from elsewhere",
	}
	for _, b := range badges(s) {
		out = append(out, legendRow{b.Class, b.N, text[b.Class]})
	}
	return out
}

// reason is why calls are not as they have to be, with what that comes to.
type reason struct {
	Class   Class
	Calls   int
	Seconds float64
	Text    string
	// Link is the first of the calls.
	Link string
}

// reasons are those of the calls that are listed, the gravest first.
func reasons(r Report) (out []reason) {
	type key struct {
		class Class
		cause string
	}
	index, last := map[key]int{}, map[key]int{}
	for n, v := range r.Calls {
		for _, f := range v.Findings {
			k := key{f.Class, f.Cause}
			i, ok := index[k]
			if !ok {
				i, index[k], last[k] = len(out), len(out), -1
				out = append(out, reason{Class: f.Class, Text: upper(causeText(f.Cause)) + ".", Link: anchor(v)})
			}
			if last[k] != n {
				last[k] = n
				out[i].Calls++
			}
			out[i].Seconds += f.Seconds
		}
	}
	slices.SortStableFunc(out, func(a, b reason) int { return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), cmp.Compare(b.Calls, a.Calls)) })
	return out
}

// timeLine is the period as a picture: a lane for each kind of outage and for
// each class of what is not as it has to be.
type timeLine struct {
	Height int
	Lanes  []lane
	Ticks  []tick
}

type lane struct {
	Name, Kind string
	Y, Mid     int
	Marks      []mark
}

type mark struct {
	X, W  float64
	Title string
	Link  string
}

type tick struct {
	X            float64
	Text, Anchor string
}

const (
	lineLeft, lineWidth = 190.0, 1000.0
	laneHeight          = 26
	// laneMarks is how many marks a lane has at most; they would not be told apart.
	laneMarks = 2000
)

func lineOf(r Report) timeLine {
	var t timeLine
	index := map[string]int{}
	put := func(key, name, kind string, m mark) {
		i, ok := index[key]
		if !ok {
			i = len(t.Lanes)
			index[key] = i
			t.Lanes = append(t.Lanes, lane{Name: name, Kind: kind, Y: i * laneHeight, Mid: i*laneHeight + laneHeight*2/3})
		}
		if l := &t.Lanes[i]; len(l.Marks) < laneMarks {
			l.Marks = append(l.Marks, m)
		}
	}
	for _, kind := range outageKinds() {
		for _, o := range r.Outages {
			if o.Kind == kind {
				m := r.mark(o.From, o.To)
				m.Title = o.String()
				put(string(kind), word(Class(kind)), "outage", m)
			}
		}
	}
	for _, class := range Classes() {
		for _, v := range r.Calls {
			for _, f := range v.Findings {
				if f.Class == class {
					m := r.mark(f.From, f.To)
					m.Title, m.Link = f.Text, anchor(v)
					put("class "+string(class), word(class), string(class), m)
				}
			}
		}
	}
	t.Height = len(t.Lanes) * laneHeight
	const ticks = 6
	for i := range ticks + 1 {
		at := r.Since.Add(r.Until.Sub(r.Since) / ticks * time.Duration(i))
		layout := "15:04:05"
		if r.Until.Sub(r.Since) > time.Hour {
			layout = "01-02 15:04"
		}
		if r.Until.Sub(r.Since) > 7*24*time.Hour {
			layout = "2006-01-02"
		}
		anchor := "middle"
		if i == ticks {
			anchor = "end"
		}
		t.Ticks = append(t.Ticks, tick{r.place(at), at.UTC().Format(layout), anchor})
	}
	return t
}

// place is where a time is in the picture.
func (r Report) place(at time.Time) float64 {
	whole := r.Until.Sub(r.Since).Seconds()
	if whole <= 0 {
		return lineLeft
	}
	return lineLeft + lineWidth*min(1, max(0, at.Sub(r.Since).Seconds()/whole))
}

// mark is wide enough to be seen.
func (r Report) mark(from, to time.Time) mark {
	if to.IsZero() {
		to = r.Until
	}
	x := r.place(from)
	return mark{X: x, W: max(3, r.place(to)-x)}
}

// anchor names a call on the page.
func anchor(v Verdict) string {
	if v.CDRID == 0 && len(v.Recordings) > 0 {
		return "recording-" + v.Recordings[0].UUID
	}
	return fmt.Sprintf("call-%d", v.CDRID)
}

// Anchor names a call on the page.
func (v Verdict) Anchor() string { return anchor(v) }

// Who are the parties in a line.
func (v Verdict) Who() string {
	j := judging{verdict: &v}
	return j.who()
}
