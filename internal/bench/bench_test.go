package bench

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/lab"
)

func TestQuantile(t *testing.T) {
	var hundred []float64
	for i := 100; i > 0; i-- {
		hundred = append(hundred, float64(i))
	}
	for _, c := range []struct {
		values []float64
		q      float64
		want   float64
	}{
		{hundred, 0.99, 99},
		{hundred, 1, 100},
		{hundred, 0, 1},
		{[]float64{7}, 0.99, 7},
		{[]float64{3, 1, 2}, 0.5, 2},
	} {
		if got := quantile(c.values, c.q); got != c.want {
			t.Errorf("quantile %v of %d values is %v, want %v", c.q, len(c.values), got, c.want)
		}
	}
	if hundred[0] != 100 {
		t.Error("the values were sorted in place")
	}
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median is %v", got)
	}
	if !math.IsNaN(quantile(nil, 0.5)) || !math.IsNaN(median(nil)) {
		t.Error("no values have a quantile")
	}
}

// TestWaitingBar: a ratio within 5 % meets the bar, and so does a small
// difference; a faster arm must not pass unseen when it is a fault.
func TestWaitingBar(t *testing.T) {
	for _, c := range []struct {
		with, without float64
		met           bool
	}{{2.08, 2, true}, {2.25, 2, true}, {2.4, 2, false}, {10.4, 10, true}, {11, 10, false}} {
		var r ratios
		r.add(c.with, c.without)
		if f := r.figure("x", 1); *f.Met != c.met {
			t.Errorf("%v with, %v without: met is %t", c.with, c.without, *f.Met)
		}
	}
}

func TestLoudMillis(t *testing.T) {
	a := lab.Audio{Rate: 8000, Channels: 1, Samples: make([]int16, 8000)}
	for i := 800; i < 4000; i++ { // 400 ms of the load's tone
		a.Samples[i] = int16(12000 * math.Sin(2*math.Pi*800*float64(i)/8000))
	}
	if n := loudMillis(a); n < 399 || n > 401 {
		t.Errorf("%d ms are heard of 400", n)
	}
	if n := loudMillis(lab.Audio{}); n != 0 {
		t.Errorf("%d ms are heard of nothing", n)
	}
}

func TestEventTime(t *testing.T) {
	for text, want := range map[string]time.Time{
		"1700000000.001002": time.Unix(1700000000, 1002000),
		"1700000000":        time.Unix(1700000000, 0),
	} {
		if got, err := eventTime(text); err != nil || !got.Equal(want) {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	if _, err := eventTime("2026-11-22 10:00"); err == nil {
		t.Error("a date is taken for seconds")
	}
}

// TestCopies: each copy of a call has ids of its own, and one that begins like
// another is not mixed up with it.
func TestCopies(t *testing.T) {
	events := []string{
		`{"type":"ChannelCreated","channel":{"id":"17.1","name":"PJSIP/a-1"}}`,
		`{"type":"ChannelCreated","channel":{"id":"17.12","name":"PJSIP/a-12"}}`,
		`{"type":"ChannelEnteredBridge","bridge":{"id":"b"},"channel":{"id":"17.12","name":"PJSIP/a-12"}}`,
	}
	frames, marker := copies(events, 2)
	if len(frames) != 6 || marker != "17.10000001" {
		t.Fatalf("%d frames, marker %s", len(frames), marker)
	}
	var ev wireEvent
	if err := json.Unmarshal(frames[5], &ev); err != nil {
		t.Fatal(err)
	}
	if ev.Channel.ID != "17.120000001" || ev.Channel.Name != "PJSIP/a-120000001" || ev.Bridge.ID != "b0000001" {
		t.Errorf("the last event is %s", frames[5])
	}
}

// TestReport: what has no value says why, and a bar that is missed stands out.
func TestReport(t *testing.T) {
	r := Report{Short: true, Figures: []Figure{
		{Group: "g", Name: "slow", Value: 25, Unit: "ms"},
		{Group: "g", Name: "gone", Missing: "not built"},
	}}
	r.Figures[0] = r.Figures[0].atMost(20)
	var text, markdown, js bytes.Buffer
	for _, err := range []error{r.Text(&text), r.Markdown(&markdown), r.JSON(&js)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"SHORT RUN", "25.0 ms", "1.250", "≤ 20.0 ms", "NO", "not built"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, text.String())
		}
	}
	if !strings.Contains(markdown.String(), "| g | slow | 25.0 ms | 20.0 ms (bar) | 1.250 | ≤ 20.0 ms | NO |") {
		t.Errorf("markdown:\n%s", markdown.String())
	}
	var back Report
	if err := json.Unmarshal(js.Bytes(), &back); err != nil || len(back.Figures) != 2 || back.Figures[0].Met == nil || *back.Figures[0].Met {
		t.Errorf("JSON is read back as %+v, %v", back, err)
	}
}
