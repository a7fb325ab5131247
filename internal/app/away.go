package app

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"callrecordd/ari"
	"callrecordd/ari/ami"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// What is made good when Asterisk's manager comes back, and recorders that run
// although no row says so.

// searchTime bounds a search for recorders without a row.
const searchTime = 2 * time.Second

// startManagerLink has done at once what waits for Asterisk's manager, each
// time that it connects, and looks for recorders that only it can name.
func (a *App) startManagerLink(s *sink) {
	a.stack.goStep("manager link", a.failed, func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-a.amiBack:
			}
			a.managerBack(ctx, s)
		}
	})
}

// managerBack has first ended what the safety net does: a start that has waited
// must find that its talk is already being recorded.
func (a *App) managerBack(ctx context.Context, s *sink) {
	defer a.reducer.deliver(recorder.Reachable{})
	a.claimSoon()
	if a.stream.State().Kind != ari.StateConnected {
		return // its Connected searches
	}
	ctx, cancel := context.WithTimeout(ctx, 2*searchTime)
	defer cancel()
	if a.watch.on() {
		a.setAlive(ctx)
	}
	if err := s.adopt(ctx); err != nil && ctx.Err() == nil {
		a.log.Warn("recorders without a row cannot be looked for", "err", err)
	}
}

// amiState is told each state of the manager's client.
func (a *App) amiState(s ami.State) {
	a.needs.again()
	a.features.again()
	a.noteManager(s)
	if s.Kind == ami.StateConnected {
		a.lamps.Connected()
		select {
		case a.amiBack <- struct{}{}:
		default: // it is about to look
		}
	}
}

// mark is a channel variable CALLRECORD_<uuid>: a recorder was started there.
type mark struct{ channel, name, uuid, id string }

// marks lists them over all channels: AMI's Status with AllVariables is the only
// request that lists variables whose names are not known (asterisk-facts 1, 2).
// It takes a connection of its own, so that a long list, or one that is too
// long, does not touch the starts and stops. Nothing is found while the manager
// is away; the link searches again when it is back.
func (a *App) marks(ctx context.Context) ([]mark, error) {
	if a.ami.State().Kind != ami.StateConnected {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	conn, err := ami.Dial(ctx, a.amiConfig())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	list, err := conn.List(ctx, ami.Action{Name: "Status", Fields: []ami.Field{{Key: "AllVariables", Value: "true"}}})
	if err != nil {
		return nil, err
	}
	var out []mark
	for _, m := range list {
		for _, v := range m.All("Variable") {
			if uuid, id, ok := parseMark(v); ok {
				out = append(out, mark{m.Get("Uniqueid"), m.Get("Channel"), uuid, id})
			}
		}
	}
	return out, nil
}

// parseMark reads CALLRECORD_<uuid with underscores>=<id>.
func parseMark(variable string) (uuid, id string, ok bool) {
	name, id, _ := strings.Cut(variable, "=")
	name, ok = strings.CutPrefix(name, "CALLRECORD_")
	uuid = strings.ReplaceAll(name, "_", "-")
	return uuid, id, ok && id != "" && recorder.ValidUUID(uuid)
}

// stray is a recorder that runs and has no open row.
type stray struct {
	channel recorder.Channel
	rows    []recorder.Recording // the row that was given up, if there is one
}

// strays returns those of the marks whose recorder runs although no row is
// stored, or one that says that there is no recording. Variables outlive their
// recorders, and asking for a dead one costs a warning in Asterisk's log
// (asterisk-facts 1): so those that are known to be closed are not asked for.
func (s *sink) strays(ctx context.Context, marks []mark, known []recorder.Recording) ([]stray, error) {
	var out []stray
	have := uuids(known)
	for _, m := range marks {
		if have[m.uuid] {
			continue
		}
		var st stray
		row, err := s.store.Recording(ctx, m.uuid)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return nil, err
		case row.State != recorder.Missing:
			continue
		default:
			st.rows = []recorder.Recording{row}
		}
		file, err := s.runningFile(ctx, m.channel, m.id)
		if err != nil {
			return nil, err
		}
		tenant, ok := s.tenantOf(file, m.uuid)
		if !ok {
			continue
		}
		st.channel = recorder.Channel{ID: m.channel, Name: m.name, Recorders: []recorder.Recorder{
			{UUID: m.uuid, MixMonitorID: m.id, Tenant: tenant},
		}}
		out = append(out, st)
	}
	return out, nil
}

// tenantOf says whose recording a file is, if it is one of ours of that uuid.
func (s *sink) tenantOf(file, uuid string) (string, bool) {
	tenant := filepath.Base(filepath.Dir(filepath.Dir(file)))
	ok := recorder.ValidUUID(tenant) && file == s.path(recorder.Recording{UUID: uuid, TenantUUID: tenant})
	return tenant, ok
}

// adopt finds recorders that nobody knows and has the machine take them over.
func (s *sink) adopt(ctx context.Context) error {
	known, err := s.openRows(ctx)
	if err != nil {
		return err
	}
	marks, err := s.marks(ctx)
	if err != nil {
		return err
	}
	strays, err := s.strays(ctx, marks, known)
	if err != nil || len(strays) == 0 {
		return err
	}
	var rows []recorder.Recording
	var channels []recorder.Channel
	for _, st := range strays {
		rows, channels = append(rows, st.rows...), append(channels, st.channel)
	}
	return s.reducer.do(ctx, func() { s.reducer.adopt(rows, channels) })
}

// recordings are those of the machine that are not final.
func (r *reducer) recordings(ctx context.Context) ([]recorder.Recording, error) {
	return ask(ctx, r, func() []recorder.Recording {
		if r.machine == nil {
			return nil
		}
		return r.machine.Recordings()
	})
}

// ask has the reducer answer a question. The reducer may get to it after we
// have gone, so what it writes is its own.
func ask[T any](ctx context.Context, r *reducer, question func() T) (T, error) {
	answer := make(chan T, 1)
	if err := r.do(ctx, func() { answer <- question() }); err != nil {
		var none T
		return none, err
	}
	return <-answer, nil
}

// adopt has recorders taken over that nobody here knows of.
func (r *reducer) adopt(rows []recorder.Recording, channels []recorder.Channel) {
	if r.machine == nil {
		return
	}
	if effects := r.machine.Adopt(r.now(), rows, channels); len(effects) > 0 {
		r.perform(effects)
	}
}
