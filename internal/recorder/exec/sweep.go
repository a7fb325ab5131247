package exec

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"callrecordd/internal/recorder"
)

// A recorder that has proved itself may fail later: its file is deleted or
// renamed under it, its module is unloaded, the disk fills up. So all files that
// are being written are looked at together every few seconds, one lstat each;
// only about those that do not grow anything else is asked.

const (
	// still is how long a file need not grow: Asterisk holds back up to 2 s of
	// audio (facts 1), and each look is late by up to the time of a sweep.
	still = 5 * time.Second
	// awayTime is how long a folder may be away before its recordings count as
	// broken: until then they may go on in it, and be whole when it is back.
	awayTime = 30 * time.Second
	// doubts is how many files are asked about in one sweep: each costs a
	// request or two to Asterisk.
	doubts = 16
	// maxDoubt bounds the time until a silent file is asked about again.
	maxDoubt = 30 * time.Second
)

// running is a recording whose file has to grow.
type running struct {
	row   recorder.Recording
	file  id // zero until it was seen
	size  int64
	grew  time.Time // when it last had
	away  time.Time // since when its folder is
	doubt doubt
}

// id tells files apart that have had the same name.
type id struct{ dev, ino uint64 }

// doubt is what is known of a file that does not grow: how many packets its
// channel had received, and when that is to be looked at next.
type doubt struct {
	packets int64
	since   time.Time // of that count; zero: not counted
	next    time.Time
	wait    time.Duration
	asking  bool
}

// Growth is how much is being written.
type Growth struct {
	Recordings     int     // that run and are proved
	BytesPerSecond float64 // of all of them, in the last sweep
}

// sweeper watches the files of running recordings.
type sweeper struct {
	e *Exec

	mu     sync.Mutex
	list   map[string]*running
	files  map[string]id // also of those that have ended, until they are final
	looked time.Time     // last sweep
	growth Growth
	homes  map[string]time.Time // folders that are away, and since when
	hangs  bool                 // the last look has not returned
}

func newSweeper(e *Exec) *sweeper {
	return &sweeper{e: e, list: map[string]*running{}, files: map[string]id{}, homes: map[string]time.Time{}}
}

// run sweeps until the end.
func (s *sweeper) run() {
	tick := time.NewTicker(s.e.cfg.Sweep)
	defer tick.Stop()
	for {
		select {
		case <-s.e.ctx.Done():
			return
		case <-tick.C:
			s.sweep()
		}
	}
}

// add begins to watch a file that has proved that it grows.
func (s *sweeper) add(row recorder.Recording) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list[row.UUID] = &running{row: row, grew: s.e.cfg.Clock()}
}

// update takes over what has become of the row, such as another channel.
func (s *sweeper) update(row recorder.Recording) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.list[row.UUID]; r != nil {
		r.row = row
	}
}

func (s *sweeper) remove(uuid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.list, uuid)
}

// fileOf is the file of a recording, if it was ever seen.
func (s *sweeper) fileOf(uuid string) (id, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	file, ok := s.files[uuid]
	return file, ok
}

func (s *sweeper) forget(uuid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, uuid)
}

// Growth is what the last sweep has measured.
func (e *Exec) Growth() Growth {
	e.sweeper.mu.Lock()
	defer e.sweeper.mu.Unlock()
	return e.sweeper.growth
}

// found is what a look at a file has shown.
type found struct {
	size int64
	file id
	err  error
	home bool // its folder is there
}

// sweep looks at all files once, and judges what it sees.
func (s *sweeper) sweep() {
	s.mu.Lock()
	paths := make(map[string]string, len(s.list))
	for uuid, r := range s.list {
		paths[uuid] = s.e.files.abs(r.row)
	}
	away := slices.Collect(maps.Keys(s.homes))
	hangs := s.hangs
	s.mu.Unlock()
	if hangs {
		return // that it does is told; the look cannot be ended
	}
	if seen, ok := s.look(paths, away); ok {
		s.judge(seen)
	}
}

// sight is what one look at all files has shown.
type sight struct {
	lstat func(string) (fs.FileInfo, error)
	files map[string]found
	homes map[string]bool // folders: whether they are there
}

// look is bounded in time: a disk that hangs must hold up nobody. What it has
// then not shown is not known.
func (s *sweeper) look(paths map[string]string, away []string) (sight, bool) {
	done := make(chan sight, 1)
	go func() {
		out := sight{s.e.cfg.lstat, make(map[string]found, len(paths)), map[string]bool{}}
		for _, dir := range away {
			out.home(dir)
		}
		for uuid, path := range paths {
			out.files[uuid] = out.lookAt(path)
		}
		done <- out
		s.mu.Lock()
		was := s.hangs
		s.hangs = false
		s.mu.Unlock()
		if was {
			s.e.storage(recorder.StorageState{Dir: s.e.cfg.Root, Cause: recorder.CauseStalled})
		}
	}()
	timer := time.NewTimer(s.e.cfg.LookWait)
	defer timer.Stop()
	select {
	case out := <-done:
		return out, true
	case <-s.e.ctx.Done():
		return sight{}, false
	case <-timer.C:
	}
	s.mu.Lock()
	s.hangs = len(done) == 0
	hangs := s.hangs
	s.mu.Unlock()
	if hangs {
		s.e.storage(recorder.StorageState{
			Dir: s.e.cfg.Root, Cause: recorder.CauseStalled,
			Detail: fmt.Sprintf("a look at the files of %d recordings has not returned within %s", len(paths), s.e.cfg.LookWait),
		})
	}
	return sight{}, false
}

// home says whether a folder is there, or that is not known.
func (s sight) home(dir string) bool {
	there, known := s.homes[dir]
	if !known {
		_, err := s.lstat(dir)
		there = err == nil || !gone(err)
		s.homes[dir] = there
	}
	return there
}

func (s sight) lookAt(path string) found {
	info, err := s.lstat(path)
	if err != nil {
		return found{err: err, home: s.home(filepath.Dir(path))}
	}
	f := found{size: info.Size(), home: true}
	s.homes[filepath.Dir(path)] = true
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		f.file = id{st.Dev, st.Ino}
	}
	return f
}

// judge says what the looks mean: which recordings are broken, which folders
// are away or back, and about which files has to be asked.
func (s *sweeper) judge(seen sight) {
	now := s.e.cfg.Clock()
	var broken []recorder.Broken
	var ask []*running
	var grown int64
	s.mu.Lock()
	for uuid, f := range seen.files {
		r := s.list[uuid]
		if r == nil {
			continue // it has ended meanwhile
		}
		before := r.size
		b, doubtful := r.see(f, now)
		if b.UUID != "" {
			delete(s.list, uuid)
			broken = append(broken, b)
			continue
		}
		s.files[uuid] = r.file
		if before > 0 {
			grown += max(0, r.size-before)
		}
		if doubtful && len(ask) < doubts {
			r.doubt.asking = true
			ask = append(ask, r)
		}
	}
	s.measure(grown, now)
	states := s.folders(seen.homes, now)
	s.mu.Unlock()
	for _, st := range states {
		s.e.storage(st)
	}
	for _, b := range broken {
		s.tell(b)
	}
	for _, r := range ask {
		s.e.work.Go(func() { s.ask(r) })
	}
}

// measure notes how much has been written since the last look; s.mu is held.
func (s *sweeper) measure(grown int64, now time.Time) {
	s.growth = Growth{Recordings: len(s.list)}
	if passed := now.Sub(s.looked).Seconds(); !s.looked.IsZero() && passed > 0 {
		s.growth.BytesPerSecond = float64(grown) / passed
	}
	s.looked = now
}

// folders notes which are away; s.mu is held.
func (s *sweeper) folders(seen map[string]bool, now time.Time) (out []recorder.StorageState) {
	for dir, there := range seen {
		_, away := s.homes[dir]
		switch {
		case there && away:
			delete(s.homes, dir)
			out = append(out, recorder.StorageState{Dir: dir, Cause: recorder.CauseNoDirectory})
		case !there && !away:
			s.homes[dir] = now
			out = append(out, recorder.StorageState{
				Dir: dir, Cause: recorder.CauseNoDirectory, Detail: "it is not there any more, and calls are being recorded in it",
			})
		}
	}
	return out
}

// see takes a look at the file into account. Broken has a UUID if it is.
func (r *running) see(f found, now time.Time) (b recorder.Broken, doubtful bool) {
	fail := func(cause, detail string) (recorder.Broken, bool) {
		return recorder.Broken{UUID: r.row.UUID, Cause: cause, Detail: detail, Since: r.grew}, false
	}
	switch {
	case f.err != nil && !gone(f.err):
		return b, false // not known
	case f.err != nil && !f.home:
		if r.away.IsZero() {
			r.away = now
		}
		if now.Sub(r.away) < awayTime {
			return b, false
		}
		return fail(recorder.CauseNoDirectory, "the folder of the recordings was not there for "+now.Sub(r.away).Round(time.Second).String())
	case f.err != nil && !r.away.IsZero():
		return fail(recorder.CauseNoDirectory, "the folder of the recordings was away, and another one is in its place")
	case f.err != nil:
		return fail(recorder.CauseFileGone, "the file was deleted or renamed while it was being written")
	case r.file != (id{}) && f.file != r.file:
		return fail(recorder.CauseFileGone, "another file is in the place of the one that was being written")
	}
	if f.size < r.size {
		return fail(recorder.CauseFileGone, "the file was cut off while it was being written")
	}
	r.away, r.file = time.Time{}, f.file
	if f.size > r.size {
		r.size, r.grew, r.doubt = f.size, now, doubt{}
		return b, false
	}
	return b, now.Sub(r.grew) >= still && !now.Before(r.doubt.next) && !r.doubt.asking
}

// ask finds out why a file does not grow. Nothing arrives at its channel: it is
// silent, and asked about more and more rarely. Audio arrives: it is broken.
func (s *sweeper) ask(r *running) {
	s.mu.Lock()
	row, d, size := r.row, r.doubt, r.size
	s.mu.Unlock()
	b, d := s.inquire(row, d)
	s.mu.Lock()
	if s.list[row.UUID] != r || r.size != size { // it has ended, or grows
		r.doubt.asking = false
		s.mu.Unlock()
		return
	}
	d.asking = false
	r.doubt = d
	if b.UUID != "" {
		b.Since = r.grew
		delete(s.list, row.UUID)
	}
	s.mu.Unlock()
	if b.UUID != "" {
		s.tell(b)
	}
}

// inquire asks for the packets of the hooked channel alone: what arrives there
// has to be in the file, whoever else has left the talk.
func (s *sweeper) inquire(row recorder.Recording, d doubt) (recorder.Broken, doubt) {
	now := s.e.cfg.Clock()
	fail := func(cause, detail string) (recorder.Broken, doubt) {
		return recorder.Broken{UUID: row.UUID, Cause: cause, Detail: detail}, d
	}
	d.wait = min(max(2*d.wait, s.e.cfg.Sweep), maxDoubt)
	d.next = now.Add(d.wait)
	// A close that inotify has missed (its queue was full, the folder another
	// one) is seen in the header.
	if final, err := s.e.files.final(row); err == nil && final {
		// One that appends has the header of before until it writes.
		if alive, known := (&worker{e: s.e, uuid: row.UUID}).recorderAlive(row); known && !alive {
			s.e.fileClosed(row.UUID)
		}
		return recorder.Broken{}, d
	}
	ctx, cancel := context.WithTimeout(s.e.ctx, s.e.cfg.Action)
	defer cancel()
	n, err := s.e.cfg.ARI.RTPReceived(ctx, row.Hook)
	if err != nil {
		return recorder.Broken{}, d // no RTP, or the channel is going
	}
	if d.since.IsZero() || n < d.packets {
		d.packets, d.since, d.wait = n, now, s.e.cfg.Sweep
		d.next = now.Add(d.wait)
		return recorder.Broken{}, d
	}
	audio, passed := time.Duration(n-d.packets)*packet, now.Sub(d.since)
	if little := passed / 4; audio < buffered || audio < little {
		if audio < little { // silence, or a packet now and then: count anew
			d.packets, d.since = n, now
		} else {
			d.wait = s.e.cfg.Sweep
			d.next = now.Add(d.wait)
		}
		return recorder.Broken{}, d
	}
	w := &worker{e: s.e, uuid: row.UUID}
	if cause, detail := w.probe(row); recorder.Storage(cause) {
		return fail(cause, detail)
	}
	if alive, known := w.recorderAlive(row); known && !alive {
		return fail(recorder.CauseRecorderGone, "audio arrives, and Asterisk does not run the recorder any more")
	}
	return fail(recorder.CauseNoGrowth, fmt.Sprintf("%s of audio have arrived, and the file does not grow", audio.Round(100*time.Millisecond)))
}

// tell says that a recording is broken, unless we are closing.
func (s *sweeper) tell(b recorder.Broken) {
	if s.e.ctx.Err() == nil {
		s.e.cfg.Deliver(b)
	}
}

// storage tells whether a folder can be used.
func (e *Exec) storage(st recorder.StorageState) {
	if e.cfg.Storage != nil && e.ctx.Err() == nil {
		e.cfg.Storage(st)
	}
}

// awaitStorage waits until a tenant's folder takes a file, and says so once.
func (e *Exec) awaitStorage(row recorder.Recording) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.awaiting[row.TenantUUID] || e.closed {
		return
	}
	e.awaiting[row.TenantUUID] = true
	e.work.Go(func() {
		tick := time.NewTicker(e.cfg.StorageEvery)
		defer tick.Stop()
		w := &worker{e: e, uuid: row.UUID}
		for {
			select {
			case <-e.ctx.Done():
				return
			case <-tick.C:
			}
			if _, err := e.files.prepare(row); err != nil {
				continue
			}
			if cause, _ := w.probe(row); cause != "" || e.ctx.Err() != nil {
				continue
			}
			e.mu.Lock()
			delete(e.awaiting, row.TenantUUID)
			e.mu.Unlock()
			e.cfg.Deliver(recorder.StorageBack{Tenant: row.TenantUUID})
			return
		}
	})
}
