package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"callrecordd/internal/lab"
)

// answerLimit bounds what is read of an answer.
const answerLimit = 64 << 20

// api is the daemon's HTTP API.
type api struct{ base, token string }

// cdr is what the demo reads of a call.
type cdr struct {
	ID              int64       `json:"id"`
	Start           time.Time   `json:"start"`
	Duration        *int64      `json:"duration"`
	Direction       string      `json:"call_direction"`
	Status          string      `json:"call_status"`
	SourceName      string      `json:"source_name"`
	SourceExten     string      `json:"source_extension"`
	RequestedExten  string      `json:"requested_extension"`
	DestinationName string      `json:"destination_name"`
	Recordings      []recording `json:"recordings"`
}

type recording struct {
	UUID     string   `json:"uuid"`
	State    string   `json:"state"`
	Cause    string   `json:"cause"`
	Detail   string   `json:"detail"`
	Reason   string   `json:"reason"`
	Filename string   `json:"filename"`
	Seconds  *float64 `json:"media_duration"`
}

// final says that nothing more will happen to it.
func (r recording) final() bool {
	switch r.State {
	case "starting", "live", "paused", "closing":
		return false
	}
	return true
}

func (a api) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	req.Header.Set("X-Auth-Token", a.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, answerLimit))
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s: %s", path, res.Status, strings.TrimSpace(string(body)))
	}
	return body, nil
}

// ready says what the daemon still lacks.
func (a api) ready(ctx context.Context) error {
	_, err := a.get(ctx, "/readyz")
	return err
}

const listPath = "/1.0/cdr?limit=1000"

// list returns the calls, the oldest first.
func (a api) list(ctx context.Context) ([]cdr, error) {
	body, err := a.get(ctx, listPath+"&direction=asc")
	if err != nil {
		return nil, err
	}
	var page struct {
		Items []cdr `json:"items"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, fmt.Errorf("list the calls: %w", err)
	}
	return page.Items, nil
}

func cdrPath(c cdr) string { return fmt.Sprintf("/1.0/cdr/%d", c.ID) }

func mediaPath(c cdr, r recording) string { return cdrPath(c) + "/recordings/" + r.UUID + "/media" }

// curls are the requests for a shell. They are complete, so that each works
// alone.
func (s *stage) curls(entries []entry) string {
	line := func(more, path string) string {
		return fmt.Sprintf("curl -s %s-H 'X-Auth-Token: %s' '%s%s'\n", more, s.api.token, s.api.base, path)
	}
	text := line("", listPath)
	for _, e := range entries {
		for _, r := range e.Recordings {
			return text + line("", cdrPath(e.cdr)) + line(fmt.Sprintf("-o call-%d.wav ", e.ID), mediaPath(e.cdr, r))
		}
	}
	return text
}

// entry is a call with what is heard in its recordings, by name and in the
// order of the recordings.
type entry struct {
	cdr
	heard []map[string]time.Duration
	// silent are the longest silences within the recordings.
	silent []time.Duration
}

// waitEntries waits until there are n calls whose recordings are done, and
// listens to these.
func (s *stage) waitEntries(ctx context.Context, n int) ([]entry, error) {
	var list []cdr
	err := eventually(ctx, fmt.Sprintf("there are %d calls with their recordings", n), func(ctx context.Context) error {
		var err error
		if list, err = s.api.list(ctx); err != nil {
			return err
		}
		if len(list) < n {
			return fmt.Errorf("there are %d", len(list))
		}
		for _, c := range list {
			for _, r := range c.Recordings {
				if !r.final() {
					return fmt.Errorf("the recording of call %d is %s", c.ID, r.State)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	entries := make([]entry, len(list))
	for i, c := range list {
		entries[i].cdr = c
		for _, r := range c.Recordings {
			heard, silent, err := s.listen(ctx, c, r)
			if err != nil {
				return nil, err
			}
			entries[i].heard = append(entries[i].heard, heard)
			entries[i].silent = append(entries[i].silent, silent)
		}
	}
	return entries, nil
}

// listen downloads a recording and says how long whom's tone is in it, and how
// long nobody's is between the first and the last.
func (s *stage) listen(ctx context.Context, c cdr, r recording) (heard map[string]time.Duration, silent time.Duration, err error) {
	heard = make(map[string]time.Duration)
	if r.State != "ready" {
		return heard, 0, nil // there is nothing to download, or nobody vouches for it
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	body, err := s.api.get(ctx, mediaPath(c, r))
	if err != nil {
		return nil, 0, err
	}
	path := filepath.Join(s.dir, "downloaded.wav")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		return nil, 0, fmt.Errorf("keep the download: %w", err)
	}
	audio, err := lab.ReadWAV(path)
	if err != nil {
		return nil, 0, fmt.Errorf("listen to the recording of call %d: %w", c.ID, err)
	}
	var tones []float64
	names := make(map[float64]string)
	for _, p := range cast() {
		tones, names[p.tone] = append(tones, p.tone), p.name
	}
	var last time.Duration
	for i, span := range lab.Tones(audio, tones) { // in the order of their beginnings
		heard[names[span.Hz]] += span.To - span.From
		if i > 0 {
			silent = max(silent, span.From-last)
		}
		last = max(last, span.To)
	}
	return heard, silent, nil
}
