package exec

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"callrecordd/internal/recorder"
)

// headerSize is the length of the WAV header that Asterisk writes, in bytes.
const headerSize = 44

// perSecond is the least RTP packet rate of running audio (40 ms packets). Less
// in a window means that audio has only begun and that the file may still fit
// into Asterisk's write buffer.
const perSecond = 25

// watch is the proof of one recording (design 1: it never believes).
type watch struct {
	row      recorder.Recording
	begun    time.Time
	exists   time.Duration
	growth   time.Duration
	interval time.Duration
	seen     bool
	silent   bool
	extended bool
	base     map[string]int64 // RTP packets by leg when the sampling began
	baseAt   time.Duration    // since begun
}

func (w *worker) begin(x recorder.WatchFile) {
	// After a restart of ours nobody has watched this directory yet. A file
	// closed before is found by its header when it is finalised.
	w.watchDir(filepath.Dir(w.e.files.abs(x.Row)))
	w.watching = true
	if x.Proved {
		return
	}
	w.watch = &watch{
		row: x.Row, begun: w.e.cfg.Clock(), exists: x.Exists, growth: x.Growth,
		interval: w.e.cfg.Poll,
	}
	w.check()
}

// check looks at the file once.
func (w *worker) check() {
	p := w.watch
	elapsed := w.e.cfg.Clock().Sub(p.begun)
	size, err := w.e.files.size(p.row)
	if err == nil && !p.seen {
		p.seen = true
		w.deliver(recorder.Seen{UUID: w.uuid})
	}
	switch {
	case err == nil && size > max(headerSize, w.floor):
		w.watch = nil
		w.deliver(recorder.Grew{UUID: w.uuid})
	case !p.seen && elapsed >= p.exists:
		w.notSeen(p)
	case p.seen && !p.silent && p.base == nil && elapsed >= p.growth/2:
		// Half the window is more than Asterisk's buffer needs, so the usual
		// call never costs a request. A full disk is known here already.
		if cause, detail := w.probe(p.row); recorder.Storage(cause) {
			w.watch = nil
			w.deliver(recorder.NotGrown{UUID: w.uuid, Cause: cause, Detail: detail})
			return
		}
		p.base, p.baseAt = w.received(p.row.Legs), elapsed
	case p.seen && !p.silent && elapsed >= p.growth:
		w.notGrown(p, elapsed)
	}
}

func (w *worker) notSeen(p *watch) {
	cause, detail := w.probe(p.row)
	if cause == "" {
		cause, detail = recorder.CauseNoFile, "asterisk reported success but created no file"
	}
	w.watch = nil
	w.deliver(recorder.NotSeen{UUID: w.uuid, Cause: cause, Detail: detail})
}

// notGrown tells silence from failure by the RTP that came meanwhile.
func (w *worker) notGrown(p *watch, elapsed time.Duration) {
	cause, detail := w.probe(p.row)
	if cause == "" {
		packets := arrived(p.base, w.received(p.row.Legs))
		enough := int64((elapsed - p.baseAt).Seconds() * perSecond)
		switch {
		case packets == 0:
			// Nobody speaks, or it cannot be counted (no RTP on either
			// leg): not an alarm. Growth remains welcome.
			p.silent, p.interval = true, 10*w.e.cfg.Poll
			w.deliver(recorder.SilentRTP{UUID: w.uuid})
			return
		case packets < enough && !p.extended:
			p.extended, p.growth = true, elapsed+p.growth/2
			return
		}
		cause, detail = recorder.CauseNoGrowth, "rtp arrives but the file stays empty"
	}
	w.watch = nil
	w.deliver(recorder.NotGrown{UUID: w.uuid, Cause: cause, Detail: detail})
}

// arrived is the largest increase of a leg that was counted twice.
func arrived(before, after map[string]int64) (packets int64) {
	for leg, n := range after {
		if b, ok := before[leg]; ok {
			packets = max(packets, n-b)
		}
	}
	return packets
}

// received asks for the packets of all legs at once; a leg that cannot tell is
// left out. The result is never nil.
func (w *worker) received(legs []string) map[string]int64 {
	ctx, cancel := context.WithTimeout(w.e.ctx, w.e.cfg.Action/4)
	defer cancel()
	var mu sync.Mutex
	out := map[string]int64{}
	var wg sync.WaitGroup
	for _, leg := range legs {
		wg.Go(func() {
			n, err := w.e.cfg.ARI.RTPReceived(ctx, leg)
			if err != nil {
				w.e.cfg.Log.Debug("rtp count cannot be read", "leg", leg, "err", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out[leg] = n
		})
	}
	wg.Wait()
	return out
}
