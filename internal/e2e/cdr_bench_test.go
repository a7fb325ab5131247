package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/lab"
)

const (
	benchCalls  = 240
	benchAtOnce = 8
)

// BenchmarkCallReadable measures how long after its last hang-up a call can be
// read over HTTP, on a real Asterisk, with the calls recorded. One iteration is
// 240 calls, eight at a time. The clock starts before the BYE is sent, so the
// figure includes Asterisk's own part.
func BenchmarkCallReadable(b *testing.B) {
	s := newSite(b)
	s.rules("alice", dialplan.Flags{OutgoingExternal: true})
	alice := s.phone("alice", lab.Manual())
	s.trunk(lab.AutoAnswer(0))
	var all []time.Duration
	for round := 0; b.Loop(); round++ {
		all = append(all, s.readable(alice, round*benchCalls)...)
	}
	slices.Sort(all)
	for _, p := range []int{50, 99} {
		b.ReportMetric(float64(all[len(all)*p/100].Microseconds())/1000, "p"+strconv.Itoa(p)+"-ms")
	}
	b.ReportMetric(float64(all[len(all)-1].Microseconds())/1000, "max-ms")
}

// readable places the calls, each to a number of its own, and returns how long
// each took to appear.
func (s *site) readable(alice *lab.Phone, from int) []time.Duration {
	var mu sync.Mutex
	ended, seen := map[string]time.Time{}, map[string]time.Time{}
	begin := time.Now().Add(-time.Second)
	numbers := make(chan string, benchCalls)
	for i := range benchCalls {
		numbers <- fmt.Sprintf("%s0%06d", lab.PrefixOut, from+i)
	}
	close(numbers)
	var callers sync.WaitGroup
	for range benchAtOnce {
		callers.Go(func() {
			for number := range numbers {
				at, err := shortCall(s, alice, number)
				if err != nil {
					s.t.Errorf("call to %s: %v", number, err)
					continue
				}
				mu.Lock()
				ended[number] = at
				mu.Unlock()
			}
		})
	}
	calling := make(chan struct{})
	go func() { callers.Wait(); close(calling) }()

	var over bool
	var deadline time.Time
	for {
		select {
		case <-calling:
			if !over {
				over, deadline = true, time.Now().Add(patience)
			}
		default:
		}
		for _, number := range s.listed(begin) {
			if _, known := seen[number]; !known {
				seen[number] = time.Now()
			}
		}
		if over && (len(seen) >= len(ended) || time.Now().After(deadline)) {
			break
		}
		time.Sleep(5 * time.Millisecond) // how often a client would ask at the most
	}
	var took []time.Duration
	for number, at := range ended {
		if seen[number].IsZero() {
			s.t.Errorf("the call to %s has no CDR after %s", number, patience)
			continue
		}
		took = append(took, seen[number].Sub(at))
	}
	return took
}

// shortCall speaks for a moment and returns when it began to hang up.
func shortCall(s *site, alice *lab.Phone, number string) (at time.Time, err error) {
	ctx := s.t.Context()
	c, err := alice.Dial(ctx, number)
	if err == nil {
		err = c.WaitAnswered(ctx)
	}
	if err == nil {
		err = c.Talk(ctx, 300*time.Millisecond)
	}
	if err != nil {
		return at, err
	}
	at = time.Now()
	return at, c.Hangup(ctx)
}

// listed are the numbers dialled in the newest calls.
func (s *site) listed(since time.Time) (numbers []string) {
	req, err := http.NewRequestWithContext(s.t.Context(), "GET",
		"http://"+s.address()+"/1.0/cdr?limit=60&from="+since.UTC().Format("2006-01-02T15:04:05Z"), nil)
	must(s.t, err)
	req.Header.Set("X-Auth-Token", s.token)
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	defer resp.Body.Close()
	var out struct{ Items []cdrView }
	must(s.t, json.NewDecoder(resp.Body).Decode(&out))
	for _, c := range out.Items {
		numbers = append(numbers, c.RequestedExtension)
	}
	return numbers
}
