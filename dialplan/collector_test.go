package dialplan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func collector(t *testing.T, code string) *Collector {
	t.Helper()
	c, err := NewCollector(code, DigitTimeout)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pressed returns after which digits, counted from 1, the code was complete.
// They come every 200 ms; each _ is 600 ms more.
func pressed(c *Collector, channel, digits string) (at []int) {
	now, n := noon, 0
	for _, d := range digits {
		if d == '_' {
			now = now.Add(600 * time.Millisecond)
			continue
		}
		now, n = now.Add(200*time.Millisecond), n+1
		if c.Digit(channel, string(d), now) {
			at = append(at, n)
		}
	}
	return at
}

func TestCollector(t *testing.T) {
	for _, tt := range []struct {
		name, code, digits string
		want               []int
	}{
		{"the code", "*3", "*3", []int{2}},
		{"every time", "*3", "*3*3", []int{2, 4}},
		{"among others", "*3", "12*345*3", []int{4, 8}},
		{"after a second star", "*3", "**3", []int{3}},
		{"after another beginning", "*3", "*4*3", []int{4}},
		{"not the other way round", "*3", "3*", nil},
		{"not with another between", "*3", "*13", nil},
		{"slowly", "*3", "*_3", []int{2}},
		{"too slowly", "*3", "*__3", nil},
		{"too slowly, then again", "*3", "*__*3", []int{3}},
		{"the time is that between digits", "*300", "*_3_0_0", []int{4}},
		{"a code that begins like its middle", "1213", "121213", []int{6}},
		{"a code of equal digits", "**", "***", []int{2}},
		{"equal digits twice", "**", "****", []int{2, 4}},
		{"one digit", "#", "1#2##", []int{2, 4, 5}},
		{"the keys that telephones lack", "A1", "AA1", []int{3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := pressed(collector(t, tt.code), "a", tt.digits); !slices.Equal(got, tt.want) {
				t.Errorf("%s in %s: complete after %v, want %v", tt.code, tt.digits, got, tt.want)
			}
		})
	}
}

func TestCollectorKeepsChannelsApart(t *testing.T) {
	c := collector(t, "*3")
	if c.Digit("a", "*", noon) || c.Digit("b", "3", noon) {
		t.Error("two channels have pressed it together")
	}
	if !c.Digit("a", "3", noon) {
		t.Error("b's digit has disturbed a")
	}
	c.Digit("a", "*", noon)
	c.Forget("a")
	if c.Digit("a", "3", noon) {
		t.Error("a channel that has ended is remembered")
	}
	if c.Digit("a", "*3", noon) || c.Digit("a", "", noon) {
		t.Error("what is no digit counts")
	}
}

// TestCollectorIsBounded: nothing is kept of channels that do not press the
// code, and little of those that begin to.
func TestCollectorIsBounded(t *testing.T) {
	c := collector(t, "*3")
	for i := range 3 * maxCollecting {
		c.Digit(fmt.Sprint("idle", i), "7", noon)
	}
	if len(c.channels) != 0 {
		t.Errorf("%d channels are kept that pressed something else", len(c.channels))
	}
	for i := range 3 * maxCollecting {
		c.Digit(fmt.Sprint("begun", i), "*", noon)
	}
	if len(c.channels) > maxCollecting {
		t.Errorf("%d channels are kept", len(c.channels))
	}
	later := noon.Add(2 * DigitTimeout)
	if c.Digit("late", "*", later); !c.Digit("late", "3", later) {
		t.Error("channels that have not gone on keep others out")
	}
	if got := pressed(c, "after", "*3"); !slices.Equal(got, []int{2}) {
		t.Errorf("after a flood *3 is complete after %v", got)
	}
}

func TestCollectorRefusesOtherCodes(t *testing.T) {
	for _, code := range []string{"", "*3 ", "x", "*３", strings.Repeat("1", 17)} {
		if _, err := NewCollector(code, DigitTimeout); err == nil {
			t.Errorf("%q is taken as a code", code)
		}
	}
}

// FuzzCollector compares it with the plain definition: the digits since the
// last press or the last pause end with the code.
func FuzzCollector(f *testing.F) {
	f.Add("*3", "1**3_*3")
	f.Add("1213", "121213")
	f.Add("**", "*****")
	f.Fuzz(func(t *testing.T, code, digits string) {
		c, err := NewCollector(code, DigitTimeout)
		if err != nil {
			return
		}
		now, kept := noon, ""
		for _, d := range digits {
			if d == '_' { // a pause that is too long
				now, kept = now.Add(2*DigitTimeout), ""
				continue
			}
			now, kept = now.Add(DigitTimeout), kept+string(d)
			if len(string(d)) != 1 {
				kept = ""
			}
			want := strings.HasSuffix(kept, code)
			if want {
				kept = ""
			}
			if got := c.Digit("a", string(d), now); got != want {
				t.Fatalf("code %q, digits %q: got %t at %q", code, digits, got, d)
			}
		}
	})
}
