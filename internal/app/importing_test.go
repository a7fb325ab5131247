package app

import (
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"callrecordd/config"
	"callrecordd/internal/directory"
	"callrecordd/internal/history"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// TestRefusedImportLeavesTheAudioOfAnother: of two imports of one recording at
// the same time one is refused, and takes back no file that the other counts on.
func TestRefusedImportLeavesTheAudioOfAnother(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "db"), Now: time.Now, Log: log})
	must(err)
	defer func() { must(st.Close()) }()
	dir, err := directory.New(t.Context(), directory.Options{Repo: st, Now: time.Now, NewUUID: uuid.NewString})
	must(err)
	cfg := config.Default()
	cfg.Recordings.Root, cfg.State.Dir = t.TempDir(), t.TempDir()
	k := NewKeeping(KeepingOptions{Config: cfg, Store: st, Directory: dir, Now: time.Now, NewUUID: uuid.NewString, Log: log})
	tenant, audio := dir.Book().Master().UUID, filepath.Join(t.TempDir(), "a.wav")
	must(os.WriteFile(audio, wav(8000), 0o600))
	item := func(id int64, conversation, recording string) history.Item {
		start := history.Moment{Time: time.Now().Add(-time.Hour).UTC()}
		it := history.Item{
			ID: id, TenantUUID: history.Text(tenant), Start: start, End: start, CallDirection: "internal", CallStatus: "answered",
			ConversationID: history.Text(conversation),
		}
		if recording != "" {
			it.Recordings = []history.Recording{{UUID: recording, StartTime: start, EndTime: start, Path: audio}}
		}
		return it
	}
	bring := func(it history.Item) ImportAnswer {
		body, err := json.Marshal(ImportRequest{Items: []history.Item{it}})
		must(err)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://host/v1/cdrs", http.NoBody)
		must(err)
		answer, err := k.importItems(r, body)
		must(err)
		return answer.(ImportAnswer)
	}
	if a := bring(item(1, "first", "")); a.Imported != 1 {
		t.Fatalf("%+v", a)
	}
	for i := range 40 {
		r := recorder.Recording{UUID: uuid.NewString(), TenantUUID: tenant}
		var refused, kept ImportAnswer
		var both sync.WaitGroup
		both.Go(func() { refused = bring(item(1, "another", r.UUID)) }) // that id is taken
		both.Go(func() { kept = bring(item(int64(i)+2, "kept", r.UUID)) })
		both.Wait()
		if len(refused.Refused) != 1 || kept.Imported != 1 {
			t.Fatalf("%+v, %+v", refused, kept)
		}
		if _, err := os.Stat(filepath.Join(cfg.Recordings.Root, r.Path())); err != nil {
			t.Fatalf("in round %d: %v", i, err)
		}
	}
}

// wav is a file with that many samples of silence.
func wav(samples uint32) []byte {
	b := binary.LittleEndian.AppendUint32([]byte("RIFF"), 36+2*samples)
	b = append(b, "WAVEfmt "...)
	b = binary.LittleEndian.AppendUint32(b, 16)
	for _, v := range []uint16{1, 1, 8000, 0, 16000, 0, 2, 16} {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	b = binary.LittleEndian.AppendUint32(append(b, "data"...), 2*samples)
	return append(b, make([]byte, 2*samples)...)
}
