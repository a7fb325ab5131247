package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// Figure is one measured value beside its reference.
type Figure struct {
	Group string  `json:"group"`
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Reference is what the value is compared with, in the same unit and from
	// the same run: another arm, or the bar where the bar is absolute.
	Reference     float64 `json:"reference,omitempty"`
	ReferenceName string  `json:"reference_name,omitempty"`
	Ratio         float64 `json:"ratio,omitempty"`
	Bar           string  `json:"bar,omitempty"`
	Met           *bool   `json:"met,omitempty"` // nil: no bar, or not measured
	N             int     `json:"n,omitempty"`   // how many measurements
	Note          string  `json:"note,omitempty"`
	Missing       string  `json:"missing,omitempty"` // why there is no value
}

// against sets the reference and the ratio.
func (f Figure) against(ref float64, name string) Figure {
	f.Reference, f.ReferenceName = ref, name
	if ref != 0 {
		f.Ratio = f.Value / ref
	}
	return f
}

// bar sets the bar and whether it is met.
func (f Figure) bar(text string, met bool) Figure {
	f.Bar, f.Met = text, &met
	return f
}

// atMost is an absolute bar, which then is the reference, too.
func (f Figure) atMost(limit float64) Figure {
	return f.against(limit, "bar").bar(fmt.Sprintf("≤ %s %s", number(limit), f.Unit), f.Value <= limit)
}

// atLeast is an absolute lower bar.
func (f Figure) atLeast(limit float64) Figure {
	return f.against(limit, "bar").bar(fmt.Sprintf("≥ %s %s", number(limit), f.Unit), f.Value >= limit)
}

// Report is a run with the machine it was made on.
type Report struct {
	Date     time.Time `json:"date"`
	Commit   string    `json:"commit"`
	CPU      string    `json:"cpu"`
	Cores    int       `json:"cores"`
	Kernel   string    `json:"kernel"`
	Go       string    `json:"go"`
	Asterisk string    `json:"asterisk"`
	Short    bool      `json:"short"`
	// Load is the machine's load average before the run: above some tenths,
	// others were at work and the figures are rough.
	Load    string   `json:"load"`
	Seconds float64  `json:"seconds"`
	Figures []Figure `json:"figures"`
}

func newReport(asterisk string, short bool) Report {
	r := Report{
		Date: time.Now().UTC().Truncate(time.Second), Cores: runtime.NumCPU(), Go: runtime.Version(),
		Asterisk: asterisk, Short: short, CPU: "unknown", Commit: "unknown",
	}
	// Each of these is for the reader only; what cannot be found stays empty.
	if out, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		r.Commit = strings.TrimSpace(string(out))
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				r.CPU = strings.Trim(name, " \t:\n")
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		r.Kernel = strings.TrimSpace(string(text))
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		r.Load = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	return r
}

// Text prints the table.
func (r Report) Text(out io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s, commit %s, %d cores %s, Linux %s, %s, Asterisk %s, load before %s, %.0f min\n",
		r.Date.Format("2006-01-02 15:04 UTC"), r.Commit, r.Cores, r.CPU, r.Kernel, r.Go, r.Asterisk, r.Load, r.Seconds/60)
	if r.Short {
		b.WriteString("SHORT RUN: it shows that everything works; the figures are no measurement.\n")
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nGROUP\tFIGURE\tVALUE\tREFERENCE\tRATIO\tBAR\tMET\tN\tNOTE")
	for _, f := range r.Figures {
		fmt.Fprintln(w, strings.Join(f.cells(), "\t"))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	_, err := b.WriteTo(out)
	return err
}

// Markdown prints the table as it stands in BENCHMARKS.md.
func (r Report) Markdown(out io.Writer) error {
	var b strings.Builder
	b.WriteString("| group | figure | value | reference | ratio | bar | met | n | note |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, f := range r.Figures {
		b.WriteString("| " + strings.Join(f.cells(), " | ") + " |\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// JSON prints the report for other programs.
func (r Report) JSON(out io.Writer) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func (f Figure) cells() []string {
	if f.Missing != "" {
		return []string{f.Group, f.Name, "–", "–", "–", dash(f.Bar), "–", "–", f.Missing}
	}
	value, ref, ratio, met, n := number(f.Value)+" "+f.Unit, "–", "–", "–", "–"
	if f.ReferenceName != "" {
		ref = number(f.Reference) + " " + f.Unit + " (" + f.ReferenceName + ")"
	}
	if f.Ratio != 0 {
		ratio = fmt.Sprintf("%.3f", f.Ratio)
	}
	if f.Met != nil {
		met = "NO"
		if *f.Met {
			met = "yes"
		}
	}
	if f.N > 0 {
		n = fmt.Sprint(f.N)
	}
	return []string{f.Group, f.Name, value, ref, ratio, dash(f.Bar), met, n, f.Note}
}

func dash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// number is a value with three digits that count.
func number(v float64) string {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Sprint(v)
	}
	digits := max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
	return fmt.Sprintf("%.*f", min(digits, 6), v)
}

// add keeps a figure and shows it at once.
func (s *suite) add(f Figure) {
	s.report.Figures = append(s.report.Figures, f)
	c := f.cells()
	s.say("    %s: %s, reference %s, ratio %s, bar %s, met: %s %s", c[1], c[2], c[3], c[4], c[5], c[6], c[8])
}

// missing keeps a figure that could not be taken, so that nobody thinks it was
// forgotten.
func (s *suite) missing(group, name, bar, why string) {
	s.add(Figure{Group: group, Name: name, Bar: bar, Missing: why})
}
