package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// asScripted is what a demo without any fault finds.
func asScripted() ([]entry, []string) {
	var entries []entry
	var files []string
	for i, sc := range scenes() {
		from, _ := find(sc.from)
		e := entry{cdr: cdr{ID: int64(i + 1), SourceExten: from.number, RequestedExten: sc.dial}}
		if sc.reason != "" {
			uuid := "uuid-" + sc.from + sc.dial
			e.Recordings = []recording{{UUID: uuid, State: "ready", Reason: string(sc.reason)}}
			e.heard = []map[string]time.Duration{{sc.from: talkTime, sc.answers: talkTime}}
			e.silent = []time.Duration{sc.pause}
			files = append(files, "/root/tenant/monitor/"+uuid+".wav")
		}
		entries = append(entries, e)
	}
	return entries, files
}

// A demo that cannot fail shows nothing.
func TestJudgeFindsEveryFault(t *testing.T) {
	entries, files := asScripted()
	if err := judge(scenes(), entries, files); err != nil {
		t.Fatalf("without a fault: %v", err)
	}
	recorded := slices.IndexFunc(scenes(), func(s scene) bool { return s.reason != "" })
	unwanted := slices.IndexFunc(scenes(), func(s scene) bool { return s.reason == "" })
	paused := slices.IndexFunc(scenes(), func(s scene) bool { return s.pause > 0 })
	sc := scenes()[recorded]
	for want, spoil := range map[string]func(entries []entry, files *[]string){
		"is heard for 1s only":         func(e []entry, _ *[]string) { e[recorded].heard[0][sc.answers] = time.Second },
		"is heard for 0s only":         func(e []entry, _ *[]string) { delete(e[recorded].heard[0], sc.from) },
		"was not in the call":          func(e []entry, _ *[]string) { e[recorded].heard[0]["bob"] = time.Second },
		"is not ready because of":      func(e []entry, _ *[]string) { e[recorded].Recordings[0].State = "missing" },
		"though it was paused":         func(e []entry, _ *[]string) { e[paused].silent[0] = time.Second },
		"has 0 recordings":             func(e []entry, _ *[]string) { e[recorded].Recordings = nil },
		"the call is not listed":       func(e []entry, _ *[]string) { e[unwanted].RequestedExten = "1" },
		"was recorded: ready":          func(e []entry, _ *[]string) { e[unwanted].Recordings = []recording{{State: "ready"}} },
		"a file that no rule wants: /": func(_ []entry, f *[]string) { *f = append(*f, "/root/tenant/monitor/other.wav") },
	} {
		entries, files := asScripted()
		for i, e := range entries {
			entries[i].Recordings, entries[i].silent = slices.Clone(e.Recordings), slices.Clone(e.silent)
			for j, h := range e.heard {
				entries[i].heard[j] = maps.Clone(h)
			}
		}
		spoil(entries, &files)
		if err := judge(scenes(), entries, files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}
