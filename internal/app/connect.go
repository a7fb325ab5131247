package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"callrecordd/ari"
	"callrecordd/config"
	"callrecordd/internal/call"
	"callrecordd/internal/live"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// sink receives the ARI stream and feeds the reducer.
type sink struct {
	reducer *reducer
	client  *ari.Client
	store   *store.Store
	root    string
	log     *slog.Logger
	disk    *disk
	// marks reads the channels' variables that name recorders.
	marks func(context.Context) ([]mark, error)
	// restarted tells the journal's follower when Asterisk has started.
	restarted func(boot time.Time)
	// alive tells the safety net that we are back, before recorders are looked for.
	alive func(context.Context)
	// note stores an event of the daemon's own life; it does not block.
	note func(kind string, data any)
	// alone is an error if another daemon records here, claim says that we do.
	alone func(context.Context) error
	claim func()
	// watch is whether events are seen.
	watch *watch
	// star26 serves calls of *26; it does not block.
	star26 func(ari.Event)
	// ctx ends with the stream; Event has none of its own.
	stopped <-chan struct{}
}

// disallowed are the events that nobody here needs. It spares our CPU, not
// Asterisk's (asterisk-facts 2). Digits are among them unless they are what
// tells of presses (design 2.5).
func disallowed(source string) []string {
	out := []string{
		"ChannelVarset", "DeviceStateChanged", "ContactStatusChange", "PeerStatusChange",
		"EndpointStateChange", "TextMessageReceived", "ChannelTalkingStarted", "ChannelTalkingFinished",
		"ChannelToneDetected", "RecordingStarted", "RecordingFinished",
		"BridgeCreated", "BridgeDestroyed", // who is in one comes with who enters and leaves
	}
	if source != config.SourceDTMF {
		out = append(out, "ChannelDtmfReceived")
	}
	return out
}

// Connected makes everything agree with Asterisk, at start-up and after every
// gap, before the first event of the session is applied.
func (s *sink) Connected(ctx context.Context, session ari.Session) error {
	if !session.GapSince.IsZero() {
		s.log.Warn("events may have been missed", "since", session.GapSince, "reconnects", session.Reconnects)
	}
	if err := s.alone(ctx); err != nil {
		return err
	}
	s.alive(ctx)
	snap, err := s.look(ctx, session.Info)
	if err != nil {
		return fmt.Errorf("resync: %w", err)
	}
	snap.unseen = session.GapSince
	if err := s.reducer.do(ctx, func() { s.reducer.resync(snap) }); err != nil {
		return fmt.Errorf("resync: %w", err)
	}
	// Behind the resync, which ends what a restart of Asterisk has cut off: the
	// journal's follower asks for it.
	s.restarted(session.Info.StartupTime)
	s.watch.begin(s.reducer.now())
	s.seen(session)
	s.claim()
	s.log.Info("connected to Asterisk", "version", session.Info.Version, "channels", len(snap.picture.Channels))
	return nil
}

// Event applies an event; the stream's queue holds the rest meanwhile.
func (s *sink) Event(ev ari.Event) {
	s.star26(ev)
	select {
	case s.reducer.steps <- func() { s.reducer.event(ev) }:
	case <-s.stopped:
	}
}

// Disconnected only keeps the recorder from starting anything unseen: recorders
// go on, and the next Connected compares. The stream keeps and logs the state.
func (s *sink) Disconnected(cause error) {
	s.watch.end()
	s.unseen(cause)
	select {
	case s.reducer.steps <- func() {
		s.reducer.witness.Lose(s.reducer.now())
		s.reducer.step(recorder.Blind{})
	}:
	case <-s.stopped:
	}
}

// look reads channels, bridges, rows and files.
func (s *sink) look(ctx context.Context, info ari.Info) (snapshot, error) {
	snap := snapshot{boot: info.StartupTime, version: info.Version, files: make(map[string]int64)}
	channels, err := s.client.Channels(ctx)
	if err != nil {
		return snap, err
	}
	bridges, err := s.client.Bridges(ctx)
	if err != nil {
		return snap, err
	}
	snap.picture = live.Picture(channels, bridges)
	if snap.rows, err = s.openRows(ctx); err != nil {
		return snap, err
	}
	if snap.legs, err = s.store.Legs(ctx); err != nil {
		return snap, err
	}
	paths := make(map[string]string, len(snap.rows))
	for _, row := range snap.rows {
		paths[row.UUID] = s.path(row)
	}
	var failed map[string]error
	snap.files, failed = s.disk.sizes(paths)
	for uuid, err := range failed {
		s.log.Warn("file of an open recording cannot be looked at", "recording_uuid", uuid, "err", err)
	}
	marks, err := s.marks(ctx)
	if err != nil {
		s.log.Warn("recorders without a row cannot be looked for", "err", err)
	}
	if snap.channels, err = s.recorders(ctx, snap.picture.Channels, snap.rows, marks); err != nil {
		return snap, err
	}
	strays, err := s.strays(ctx, marks, snap.rows)
	if err != nil {
		return snap, err
	}
	for _, st := range strays {
		if i := slices.IndexFunc(snap.channels, func(c recorder.Channel) bool { return c.ID == st.channel.ID }); i >= 0 {
			snap.channels[i].Recorders = append(snap.channels[i].Recorders, st.channel.Recorders...)
			snap.rows = append(snap.rows, st.rows...)
		}
	}
	return snap, nil
}

// openRows are the open recordings of the store and those of the machine, whose
// intent may not be stored yet; the machine's are the newer ones.
func (s *sink) openRows(ctx context.Context) ([]recorder.Recording, error) {
	rows, err := s.store.OpenRecordings(ctx)
	if err != nil {
		return nil, err
	}
	own, err := s.reducer.recordings(ctx)
	if err != nil {
		return nil, err
	}
	ours := uuids(own)
	rows = slices.DeleteFunc(rows, func(row recorder.Recording) bool { return ours[row.UUID] })
	return append(rows, own...), nil
}

// uuids are those of recordings: after a crash there may be thousands.
func uuids(rows []recorder.Recording) map[string]bool {
	out := make(map[string]bool, len(rows))
	for _, r := range rows {
		out[r.UUID] = true
	}
	return out
}

func (s *sink) path(r recorder.Recording) string {
	return filepath.Join(s.root, r.TenantUUID, "monitor", r.UUID+".wav")
}

// recorders asks the channels of open recordings whether the recorder still
// runs: the id is in the channel's variable CALLRECORD_<uuid>, and MIXMONITOR
// answers with the file only while it lives (asterisk-facts 1).
func (s *sink) recorders(ctx context.Context, channels []call.Channel, rows []recorder.Recording, marks []mark) ([]recorder.Channel, error) {
	may := candidates(rows, marks)
	out := make([]recorder.Channel, len(channels))
	err := each(ctx, len(channels), questions, func(ctx context.Context, i int) error {
		c := channels[i]
		rc := recorder.Channel{ID: c.ID, Name: c.Name}
		for _, row := range may(c) {
			id, err := s.runningID(ctx, c.ID, row)
			if err != nil {
				return err
			}
			if id != "" {
				rc.Recorders = append(rc.Recorders, recorder.Recorder{UUID: row.UUID, MixMonitorID: id, Tenant: row.TenantUUID})
			}
		}
		out[i] = rc
		return nil
	})
	return out, err
}

// candidates finds the rows whose recorder may run on a channel: it is their hook,
// or it bears its name (a masquerade may have taken the recorder along to a
// channel of another uniqueid, which then has the old name), or is marked.
func candidates(rows []recorder.Recording, marks []mark) func(call.Channel) []recorder.Recording {
	byUUID, byChannel := map[string]recorder.Recording{}, map[string][]string{}
	for _, row := range rows {
		byUUID[row.UUID] = row
		for _, key := range []string{"id " + row.Hook, "name " + row.HookName} {
			byChannel[key] = append(byChannel[key], row.UUID)
		}
	}
	for _, m := range marks {
		byChannel["id "+m.channel] = append(byChannel["id "+m.channel], m.uuid)
	}
	return func(c call.Channel) (out []recorder.Recording) {
		seen := map[string]bool{}
		for _, uuid := range slices.Concat(byChannel["id "+c.ID], byChannel["name "+c.Name]) {
			if row, ok := byUUID[uuid]; ok && !seen[uuid] {
				seen[uuid] = true
				out = append(out, row)
			}
		}
		return out
	}
}

// questions is how many Asterisk is asked at once, of the eight connections that
// ari keeps at most: one that answers slowly would
// keep us away for as long as it takes for all recordings together.
const questions = 6

func (s *sink) runningID(ctx context.Context, channel string, row recorder.Recording) (string, error) {
	id, err := s.client.ChannelVar(ctx, channel, "CALLRECORD_"+strings.ReplaceAll(row.UUID, "-", "_"))
	if err == nil && id == "" || errors.Is(err, ari.ErrNotFound) {
		id, err = row.MixMonitorID, nil
	}
	if err != nil || id == "" {
		return "", err
	}
	file, err := s.runningFile(ctx, channel, id)
	if err != nil || file != s.path(row) {
		return "", err
	}
	return id, nil
}

// runningFile is the file of a recorder, empty if it does not run.
func (s *sink) runningFile(ctx context.Context, channel, id string) (string, error) {
	file, err := s.client.ChannelVar(ctx, channel, "MIXMONITOR("+id+",filename)")
	if errors.Is(err, ari.ErrNotFound) {
		return "", nil
	}
	return file, err
}
