package app

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"callrecordd/ari/ami"
	"callrecordd/dialplan"
)

// Two daemons on one Asterisk would record every call twice, each be in the way
// of the other's pauses, and take over the other's recorders. Asterisk keeps two
// of one configuration apart, by the name of their application; those with two
// configurations by a global variable that the one that records keeps renewing.

// presenceVariable holds who is here and when it last said so: the uuid of the
// installation and seconds since 1970, and idle if it cannot record.
const presenceVariable = "CALLRECORDD_PRESENCE"

// idle is said by who sees Asterisk's events and has been without a manager for a
// while. It cannot record, and keeps nobody else from it; but it is alive, and only
// who can record takes its application from it.
const idle = "idle"

// goodbye is the time, in seconds, of the last word of a daemon that stops in good
// order.
const goodbye = 0

// errNotAlone is what a second daemon is told.
var errNotAlone = errors.New("another callrecordd records on this Asterisk: stop it, or this one")

// word is what is said there.
type word struct {
	uuid    string
	seconds int64
	records bool
}

// presence is the word of who records.
func presence(uuid string, at time.Time) word { return word{uuid, at.Unix(), true} }

func (w word) String() string {
	s := w.uuid + " " + strconv.FormatInt(w.seconds, 10)
	if !w.records {
		s += " " + idle
	}
	return s
}

// parseWord takes one apart; ok is false for what is none.
func parseWord(said string) (w word, ok bool) {
	uuid, rest, _ := strings.Cut(said, " ")
	when, isIdle := strings.CutSuffix(rest, " "+idle)
	seconds, err := strconv.ParseInt(when, 10, 64)
	return word{uuid, seconds, !isIdle}, err == nil
}

// alone returns errNotAlone if what is said there is another's and not too old.
func alone(said, uuid string, now time.Time) error {
	w, ok := parseWord(said)
	if !ok || !w.records || w.uuid == uuid {
		return nil // nobody, or ourselves before a restart
	}
	if age := now.Sub(time.Unix(w.seconds, 0)); age.Abs() > dialplan.AliveTime {
		return nil
	}
	return fmt.Errorf("%w (its installation is %s)", errNotAlone, w.uuid)
}

// lookAround returns errNotAlone if another daemon records here.
func (a *App) lookAround(ctx context.Context) error {
	_, err := a.listen(ctx)
	return err
}

// listen is lookAround, and returns what is said, also with errNotAlone.
func (a *App) listen(ctx context.Context) (said string, err error) {
	if said, err = a.ari.GlobalVar(ctx, presenceVariable); err != nil {
		return "", fmt.Errorf("look for another daemon: %w", err)
	}
	now := a.opt.Now()
	err = alone(said, a.stackUUID, now)
	a.rival.saw(err, now)
	return said, err
}

// rival is that another daemon records here, as far as is known. Who cannot ask any
// more must not believe it for ever.
type rival struct{ until atomic.Int64 } // microseconds since 1970

func (r *rival) saw(err error, now time.Time) {
	if err == nil {
		now = time.Time{}
	}
	r.until.Store(now.Add(dialplan.AliveTime).UnixMicro())
}

// there says whether it does.
func (r *rival) there(now time.Time) bool {
	return now.Before(time.UnixMicro(r.until.Load()))
}

// Who holds our application and has not said anything new for this long is no
// living daemon: one that is ours said its last word itself, or goodbye; one of our
// installation renews it every AliveEvery, one of another counts for AliveTime.
const (
	ghostOfOurs         = time.Second
	ghostOfInstallation = dialplan.AliveEvery + 2*time.Second
	ghostOfOther        = dialplan.AliveTime
)

// holder watches the word of who holds our application while we wait for it. It is
// of the goroutine of the event stream, but for wrote.
type holder struct {
	wrote atomic.Pointer[string] // our own last word
	said  string
	since time.Time // when that was first seen
	asked time.Time // when it was last looked at, zero before
	idler string    // who said last that it cannot record, "" if that one can
}

// ghostGap is more than lies between two looks while we wait.
const ghostGap = 15 * time.Second

// isGhost takes what is said now, and says whether nobody is there, or nobody who
// can record while we could. Of what is no callrecordd nothing is known: it is waited
// for.
func (h *holder) isGhost(said, uuid string, able bool, now time.Time) bool {
	w, ok := parseWord(said)
	idler := ""
	if ok && able && !w.records {
		idler = w.uuid
	}
	news := said != h.said && (idler == "" || idler != h.idler)
	if h.asked.IsZero() || now.Sub(h.asked) > ghostGap || news {
		h.since = now
	}
	h.said, h.idler, h.asked = said, idler, now
	if !ok {
		return false // who knows what it is
	}
	wait := ghostOfOther
	own := h.wrote.Load()
	switch {
	case w.seconds == goodbye, own != nil && *own == said:
		wait = ghostOfOurs
	case w.uuid == uuid:
		wait = ghostOfInstallation
	}
	return now.Sub(h.since) >= wait
}

// ghost says whether what holds our application is only what Asterisk has kept of a
// connection. While we hold it ourselves nobody asks. Calls of another daemon that
// has it are that one's to explain.
func (a *App) ghost(ctx context.Context) bool {
	said, err := a.listen(ctx)
	if err != nil && !errors.Is(err, errNotAlone) {
		return false
	}
	return a.holder.isGhost(said, a.stackUUID, a.ami.State().Kind == ami.StateConnected, time.Now())
}

// claim says that we record here, or that we cannot: who has been without a manager
// at two looks does not keep another from it, who misses it for a moment says nothing.
// If another was quicker we leave, and wait until it is gone.
func (a *App) claim(ctx context.Context) {
	if !a.watch.on() {
		return
	}
	mine := presence(a.stackUUID, a.opt.Now())
	mine.records = a.ami.State().Kind == ami.StateConnected
	before := a.unmanaged
	if a.unmanaged = !mine.records; a.unmanaged && !before {
		return
	}
	err := a.lookAround(ctx)
	if errors.Is(err, errNotAlone) {
		if mine.records {
			a.stream.Renew(err)
		}
		return
	}
	if err == nil {
		said := mine.String()
		a.holder.wrote.Store(&said)
		err = a.ari.SetGlobalVar(ctx, presenceVariable, said)
	}
	if err != nil && ctx.Err() == nil {
		a.log.Warn("other daemons cannot be told that we record", "err", err)
	}
}

// claimSoon does not block.
func (a *App) claimSoon() {
	select {
	case a.claims <- struct{}{}:
	default: // it is about to
	}
}

// startPresence keeps saying so while events are seen. An orderly stop makes room
// at once.
func (a *App) startPresence() {
	a.stack.push("word to other daemons", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if a.watch.on() {
			// Who waits for us sees it 15 s later if this fails.
			_ = a.ari.SetGlobalVar(ctx, presenceVariable, presence(a.stackUUID, time.Unix(goodbye, 0)).String())
		}
		return nil
	})
	a.stack.goStep("presence", a.failed, func(ctx context.Context) error {
		tick := time.NewTicker(dialplan.AliveEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			case <-a.claims:
			}
			a.claim(ctx)
		}
	})
}
