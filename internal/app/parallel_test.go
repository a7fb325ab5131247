package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"callrecordd/ari"
	"callrecordd/internal/call"
	"callrecordd/internal/recorder"
)

func TestFirstErrorEndsAll(t *testing.T) {
	failure := errors.New("no")
	var begun atomic.Int32
	err := each(t.Context(), 1000, 4, func(ctx context.Context, i int) error {
		begun.Add(1)
		if i == 10 {
			return failure
		}
		if i > 10 {
			<-ctx.Done()
		}
		return nil
	})
	if !errors.Is(err, failure) || begun.Load() > 20 {
		t.Errorf("%v after %d", err, begun.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := each(ctx, 3, 1, func(context.Context, int) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A daemon that comes back beside an Asterisk that answers slowly asked for each
// recording after the one before: with hundreds it was away for minutes.
func TestSlowAsteriskIsAskedForManyRecordingsAtOnce(t *testing.T) {
	const calls, slow = 64, 50 * time.Millisecond
	root := t.TempDir()
	s := &sink{root: root}
	var channels []call.Channel
	var rows []recorder.Recording
	for i := range calls {
		id := fmt.Sprintf("17.%d", i)
		channels = append(channels, call.Channel{ID: id, Name: "PJSIP/" + id})
		rows = append(rows, recorder.Recording{UUID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), TenantUUID: "t", Hook: id})
	}
	asterisk := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-time.After(slow)
		var n int
		_, _ = fmt.Sscanf(r.URL.Path, "/ari/channels/17.%d/variable", &n)
		value := "0x1"
		if name := r.URL.Query().Get("variable"); name == "MIXMONITOR(0x1,filename)" {
			value = s.path(rows[n])
		}
		_, _ = fmt.Fprintf(w, `{"value": %q}`, value)
	}))
	defer asterisk.Close()
	base, err := url.Parse(asterisk.URL)
	if err != nil {
		t.Fatal(err)
	}
	s.client = ari.New(base, ari.Credentials{})
	defer s.client.CloseIdleConnections()
	begun := time.Now()
	found, err := s.recorders(t.Context(), channels, rows, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range found {
		if c.ID != channels[i].ID || len(c.Recorders) != 1 || c.Recorders[0].UUID != rows[i].UUID {
			t.Errorf("channel %d is %+v", i, c)
		}
	}
	if took := time.Since(begun); took > 2*calls*slow/3 {
		t.Errorf("%d recordings took %s, one after another they take %s", calls, took, 2*calls*slow)
	}
}
