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

// buffered is how much audio Asterisk may hold back before anything of it is in
// the file: 32 KiB of 8 kHz audio are 2.05 s (facts 1), the rest is for what is
// on its way. A file that is empty after less has not failed.
const buffered = 2150 * time.Millisecond

// packet is the usual length of a packet. Longer ones are counted as this long,
// so that audio is never overrated: then a verdict takes longer.
const packet = 20 * time.Millisecond

// steady is how long packets must be counted to tell their rate: what was held
// up somewhere comes in a burst.
const steady = 500 * time.Millisecond

// watch is the proof of one recording (design 1: it never believes).
type watch struct {
	row      recorder.Recording
	begun    time.Time
	exists   time.Duration
	growth   time.Duration
	interval time.Duration
	seen     bool
	silent   bool
	counted  bool          // the packets, at half of the time
	probed   bool          // the directory
	judge    time.Duration // since begun: the next verdict
	rtp      rtp
}

// rtp is what is known of the packets that have come since the file was seen.
type rtp struct {
	base, last map[string]int64 // by leg
	lastAt     time.Duration
	shortest   time.Duration // a packet, by the highest rate seen
}

// count takes a new look at the packets: how many came since the last one.
func (c *rtp) count(now map[string]int64, at time.Duration) (news int64) {
	if c.base == nil {
		c.base, c.last, c.lastAt, c.shortest = now, now, at, packet
		return 0
	}
	news = arrived(c.last, now)
	if at-c.lastAt >= steady && news > 0 {
		c.shortest = min(c.shortest, (at-c.lastAt)/time.Duration(news))
	}
	c.last, c.lastAt = now, at
	return news
}

// audio is how much audio has come at least, since the first look.
func (c *rtp) audio() time.Duration {
	return time.Duration(arrived(c.base, c.last)) * c.shortest
}

func (w *worker) begin(x recorder.WatchFile) {
	// After a restart of ours nobody has watched this directory yet. A file
	// closed before is found by its header when it is finalised.
	w.watchDir(filepath.Dir(w.e.files.abs(x.Row)))
	w.watching = true
	if x.Proved {
		w.e.sweeper.add(x.Row)
		return
	}
	w.watch = &watch{
		row: x.Row, begun: w.e.cfg.Clock(), exists: x.Exists, growth: x.Growth,
		interval: w.e.cfg.Poll, judge: x.Growth,
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
		p.interval = 10 * w.e.cfg.Poll // growth comes in blocks of one or two seconds
		w.deliver(recorder.Seen{UUID: w.uuid})
		p.rtp.count(w.received(p.row.Legs), elapsed)
	}
	switch {
	case err == nil && size > max(headerSize, w.floor):
		w.watch = nil
		w.e.sweeper.add(p.row)
		w.deliver(recorder.Grew{UUID: w.uuid})
	case !p.seen && elapsed >= p.exists:
		w.notSeen(p)
	case p.seen && !p.counted && elapsed >= p.growth/2:
		p.counted = true
		p.rtp.count(w.received(p.row.Legs), elapsed)
	case p.seen && !p.probed && elapsed >= p.doubt():
		// A full disk is known here already.
		p.probed = true
		if cause, detail := w.probe(p.row); recorder.Storage(cause) {
			w.watch = nil
			w.deliver(recorder.NotGrown{UUID: w.uuid, Cause: cause, Detail: detail})
		}
	case p.seen && elapsed >= p.judge:
		w.notGrown(p, elapsed)
	}
}

// pause is how long nothing needs to be looked at: each look costs, and there
// are many recordings.
func (p *watch) pause(now time.Time) time.Duration {
	next := p.judge
	switch {
	case !p.seen:
		next = p.exists
	case !p.counted:
		next = p.growth / 2
	case !p.probed:
		next = p.doubt()
	}
	return max(time.Millisecond, min(p.interval, next-now.Sub(p.begun)))
}

// doubt is when a file that has not grown is worth a write of our own: most
// have grown by then, if there is that much time.
func (p *watch) doubt() time.Duration {
	return max(p.growth/2, min(buffered+buffered/8, p.growth*3/4))
}

func (w *worker) notSeen(p *watch) {
	cause, detail := w.probe(p.row)
	if cause == "" {
		cause, detail = recorder.CauseNoFile, "asterisk reported success but created no file"
	}
	w.watch = nil
	w.deliver(recorder.NotSeen{UUID: w.uuid, Cause: cause, Detail: detail})
}

// notGrown tells silence, and audio that Asterisk may still hold back, from
// failure: by the RTP that came meanwhile. As long as it cannot be told the
// file is watched on, more and more rarely.
func (w *worker) notGrown(p *watch, elapsed time.Duration) {
	cause, detail := w.probe(p.row)
	if cause == "" {
		news := p.rtp.count(w.received(p.row.Legs), elapsed)
		lacks := buffered - p.rtp.audio()
		switch {
		case lacks <= 0:
			cause, detail = recorder.CauseNoGrowth, "rtp arrives but the file stays empty"
		case news > 0 && elapsed < p.growth*3/2:
			p.judge = elapsed + min(lacks+5*packet, p.growth/2) // it comes, but has begun late
			return
		default:
			// Nobody speaks, or it cannot be counted (no RTP on either leg):
			// not an alarm. Growth remains welcome.
			if !p.silent {
				p.silent, p.interval = true, 10*w.e.cfg.Poll
				w.deliver(recorder.SilentRTP{UUID: w.uuid})
			}
			p.judge = elapsed + min(elapsed, time.Minute)
			return
		}
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
