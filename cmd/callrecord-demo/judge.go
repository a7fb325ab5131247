package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// enough is how long a tone must be heard: less than talkTime, because a
// recording may begin a moment after the call.
const enough = 2 * time.Second

// files are all files below the recordings' root.
func (s *stage) files() ([]string, error) {
	var found []string
	err := filepath.WalkDir(s.cfg.Recordings.Root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for recordings on disk: %w", err)
	}
	return found, nil
}

// strays are files that belong to no recording of the calls.
func strays(files []string, entries []entry) []string {
	return slices.DeleteFunc(slices.Clone(files), func(path string) bool {
		return slices.ContainsFunc(entries, func(e entry) bool {
			return slices.ContainsFunc(e.Recordings, func(r recording) bool { return filepath.Base(path) == r.UUID+".wav" })
		})
	})
}

// judge compares what happened with the script and tells every difference.
func judge(want []scene, entries []entry, files []string) error {
	var errs []error
	if len(entries) != len(want) {
		errs = append(errs, fmt.Errorf("%d calls were placed, but %d are listed", len(want), len(entries)))
	}
	for _, sc := range want {
		if err := judgeCall(sc, entries); err != nil {
			errs = append(errs, fmt.Errorf("%s calls %s (%s): %w", sc.from, sc.dial, sc.why, err))
		}
	}
	for _, f := range strays(files, entries) {
		errs = append(errs, fmt.Errorf("there is a file that no rule wants: %s", f))
	}
	return errors.Join(errs...)
}

func judgeCall(sc scene, entries []entry) error {
	from, _ := find(sc.from) // the script names people of the cast
	i := slices.IndexFunc(entries, func(e entry) bool {
		return e.SourceExten == from.number && e.RequestedExten == sc.dial
	})
	if i < 0 {
		return errors.New("the call is not listed")
	}
	e := entries[i]
	if sc.reason == "" {
		if len(e.Recordings) > 0 {
			return fmt.Errorf("call %d was recorded: %s", e.ID, describe(e.Recordings[0]))
		}
		return nil
	}
	if len(e.Recordings) != 1 {
		return fmt.Errorf("call %d has %d recordings, not one", e.ID, len(e.Recordings))
	}
	r := e.Recordings[0]
	if r.State != "ready" || r.Reason != string(sc.reason) {
		return fmt.Errorf("the recording of call %d is not ready because of %s: %s", e.ID, sc.reason, describe(r))
	}
	var errs []error
	if e.silent[0] < sc.pause {
		errs = append(errs, fmt.Errorf("%s is silent for %s only, though it was paused", r.Filename, e.silent[0]))
	}
	for _, p := range cast() {
		heard, part := e.heard[0][p.name], p.name == sc.from || p.name == sc.answers
		switch {
		case part && heard < enough:
			errs = append(errs, fmt.Errorf("%s's %.0f Hz is heard for %s only in %s", p.name, p.tone, heard, r.Filename))
		case !part && heard > 0:
			errs = append(errs, fmt.Errorf("%s's %.0f Hz is heard in %s, but %s was not in the call", p.name, p.tone, r.Filename, p.name))
		}
	}
	return errors.Join(errs...)
}

// describe says what became of a recording.
func describe(r recording) string {
	parts := []string{r.State}
	if r.Seconds != nil {
		parts[0] += fmt.Sprintf(" %.1f s", *r.Seconds)
	}
	for _, more := range []string{r.Reason, r.Cause, r.Detail} {
		if more != "" {
			parts = append(parts, more)
		}
	}
	return strings.Join(parts, ", ")
}

// table shows the calls to people.
func table(entries []entry, strays []string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 2, 8, 2, ' ', 0)
	fmt.Fprintln(w, "CALL\tSTARTED\tWHO\tLASTED\tDIRECTION\tRECORDING\tHEARD IN IT")
	none := "no recording"
	if len(strays) == 0 {
		none += ", no file"
	}
	for _, e := range entries {
		lasted := e.Status
		if e.Duration != nil {
			lasted = fmt.Sprintf("%d s", *e.Duration)
		}
		who := named(e.SourceName, e.SourceExten) + " → " + named(e.DestinationName, e.RequestedExten)
		start := fmt.Sprintf("%d\t%s\t%s\t%s\t%s", e.ID, e.Start.Local().Format(time.TimeOnly), who, lasted, e.Direction)
		if len(e.Recordings) == 0 {
			fmt.Fprintf(w, "%s\t%s\t\n", start, none)
		}
		for i, r := range e.Recordings {
			fmt.Fprintf(w, "%s\t%s\t%s\n", start, describe(r), hearing(e.heard[i], e.silent[i]))
		}
	}
	_ = w.Flush() // a strings.Builder takes everything
	return b.String()
}

// named joins name and number, without a name that only repeats the number.
func named(name, number string) string {
	if name == "" || name == number {
		return number
	}
	return name + " " + number
}

// audible is from when on a silence is worth a word.
const audible = 500 * time.Millisecond

func hearing(heard map[string]time.Duration, silent time.Duration) string {
	var parts []string
	for _, p := range cast() {
		if d := heard[p.name]; d > 0 {
			parts = append(parts, fmt.Sprintf("%s's %.0f Hz %.1f s", p.name, p.tone, d.Seconds()))
		}
	}
	if silent > audible {
		parts = append(parts, fmt.Sprintf("silence %.1f s", silent.Seconds()))
	}
	return strings.Join(parts, ", ")
}
