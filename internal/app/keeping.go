package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"callrecordd/config"
	"callrecordd/internal/api"
	"callrecordd/internal/auth"
	"callrecordd/internal/directory"
	"callrecordd/internal/export"
	"callrecordd/internal/mail"
	"callrecordd/internal/recorder"
	"callrecordd/internal/retention"
	"callrecordd/store"
)

// KeepingOptions are what a Keeping needs. Exports is nil without a daemon,
// which alone makes archives.
type KeepingOptions struct {
	Config    config.Config
	Store     *store.Store
	Directory *directory.Service
	Exports   *export.Service
	Now       func() time.Time
	NewUUID   func() string
	Log       *slog.Logger
}

// Keeping is what removes, keeps and exports recordings, put together. The
// command line uses it without a daemon, too.
type Keeping struct {
	opt     KeepingOptions
	remover *retention.Remover
	purger  *retention.Purger
	unsure  atomic.Pointer[time.Time] // until then the clock is not trusted
	// importing is held by the import that runs: one takes back the copies of what
	// is refused, and must not meet another that counts on them.
	importing chan struct{}
}

// distrust has nothing removed for want of age before that time, which is told by
// the clock that nobody sets: what is removed too early is gone.
func (k *Keeping) distrust(until time.Time) { k.unsure.Store(&until) }

// trusts says whether what is too old by the clock is too old.
func (k *Keeping) trusts(now time.Time) bool {
	until := k.unsure.Load()
	return until == nil || !now.Before(*until)
}

// NewKeeping fits the parts together.
func NewKeeping(o KeepingOptions) *Keeping {
	k := &Keeping{opt: o, remover: retention.NewRemover(o.Store, o.Config.Recordings.Root, o.Log), importing: make(chan struct{}, 1)}
	k.purger = &retention.Purger{
		Repo: o.Store, Remover: k.remover, Defaults: k.defaults(), Now: o.Now, Log: o.Log, Exports: k.removeExports,
		Tenants: func() []string {
			book := o.Directory.Book()
			return book.Subtree(book.Master().UUID)
		},
	}
	return k
}

func (k *Keeping) defaults() retention.Days {
	d := k.opt.Config.Retention
	return retention.Days{CDR: d.CDRDays, Export: d.ExportDays, Recording: d.RecordingDays}
}

// removeExports leaves archives alone without a daemon.
func (k *Keeping) removeExports(ctx context.Context, tenant string, before time.Time, dry bool) (int, error) {
	if k.opt.Exports == nil {
		return 0, nil
	}
	return k.opt.Exports.RemoveOlder(ctx, tenant, before, retention.Actor, dry)
}

func (k *Keeping) api() api.Keep {
	return api.Keep{
		Media: keepMedia{k}, Holds: keepHolds{k.opt.Store}, Exports: keepExports{k}, Policies: k.opt.Store,
		Defaults: k.defaults(), Link: k.opt.Config.Exports.Link,
	}
}

// mailWords are the texts of mails: those of the configuration, or our own if
// one of them cannot be used. A file that is missing is no reason not to record.
func (a *App) mailWords() (*export.Words, error) {
	own := func(m config.Mail) (*export.Words, error) {
		return export.NewWords(export.WordsOptions{
			Subject: m.Subject, BodyFile: m.BodyFile, FailureSubject: m.FailureSubject, FailureBodyFile: m.FailureBodyFile,
		})
	}
	words, err := own(a.opt.Config.Mail)
	if err != nil {
		a.log.Error("mails about exports have the built-in texts", "err", err)
		words, err = own(config.Default().Mail)
	}
	return words, err
}

// startKeeping starts what works in the background, and brings to an end what a
// crash has interrupted. A disk that hangs must not hold up the start.
func (a *App) startKeeping(ctx context.Context) error {
	cfg := a.opt.Config
	words, err := a.mailWords()
	if err != nil {
		return err
	}
	log := a.log.With("part", "exports")
	exports := export.New(export.Options{
		Repo: a.store, Root: cfg.Recordings.Root, Dir: cfg.ExportsDir(), Workers: cfg.Exports.Workers,
		KeepFree: int64(cfg.Exports.KeepFree) << 20, LinkLifetime: cfg.Exports.LinkLifetime, Tokens: linkTokens{a.tokens},
		Mailer: mail.New(mail.Options{
			Host: cfg.Mail.Host, Port: cfg.Mail.Port, TLS: cfg.Mail.TLS, Username: cfg.Mail.Username,
			Password: cfg.Mail.Password.Reveal(), Timeout: cfg.Mail.Timeout, FromName: cfg.Mail.FromName, From: cfg.Mail.FromAddress,
		}),
		Words: words, Prover: a.prover(), Now: a.opt.Now, NewUUID: a.opt.NewUUID, Log: log,
	})
	a.keeping = NewKeeping(KeepingOptions{
		Config: cfg, Store: a.store, Directory: a.directory, Exports: exports, Now: a.opt.Now, NewUUID: a.opt.NewUUID,
		Log: a.log.With("part", "keeping"),
	})
	// Before anybody can ask for another.
	if err := exports.Resume(ctx); err != nil {
		log.Error("exports that were interrupted stay so until the next start", "err", err)
	}
	a.stack.goStep("interrupted removals", a.failed, func(ctx context.Context) error {
		if err := a.keeping.remover.Resume(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("removals that were interrupted stay so until the next start", "err", err)
		}
		return nil
	})
	a.stack.goStep("exports", a.failed, exports.Run)
	if cfg.Retention.Every > 0 {
		a.stack.goStep("retention", a.failed, a.keeping.purge)
	}
	return nil
}

// purge removes what is too old, the first time soon after the start. That it
// cannot is no reason for the daemon to end.
func (k *Keeping) purge(ctx context.Context) error {
	next := time.NewTimer(min(time.Minute, k.opt.Config.Retention.Every))
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
		if now := k.opt.Now(); !k.trusts(now) {
			k.opt.Log.Warn("nothing is removed: the clock was set forward, and what seems too old may not be", "until", *k.unsure.Load())
			next.Reset(min(time.Hour, k.opt.Config.Retention.Every))
			continue
		}
		reports, err := k.purger.Run(ctx, false)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			k.opt.Log.Error("what is too old could not be removed, the next run tries again", "err", err)
		}
		for _, r := range reports {
			if r.Recordings+r.CDRs+r.Exports+r.Failed > 0 {
				k.opt.Log.Info("removed what is too old", "tenant", r.TenantUUID, "recordings", r.Recordings, "bytes", r.Bytes,
					"cdrs", r.CDRs, "exports", r.Exports, "held", r.Held, "failed", r.Failed)
			}
		}
		next.Reset(k.opt.Config.Retention.Every)
	}
}

// linkTokens makes the tokens of links: their ACL names one export and no more.
type linkTokens struct{ *auth.Service }

func (l linkTokens) LinkToken(ctx context.Context, e export.Export, lifetime time.Duration) (string, error) {
	// The export is the account, so that the token goes with it.
	secret, _, err := l.Create(ctx, "callrecordd", auth.Request{
		TenantUUID: e.TenantUUID, AuthID: e.UUID, Description: "link to export " + e.UUID,
		ACL: []string{"call-logd.exports." + auth.EscapeWord(e.UUID) + ".download.read"}, Lifetime: lifetime,
	})
	return secret.Reveal(), err
}

type keepMedia struct{ *Keeping }

func (m keepMedia) OfCDRs(ctx context.Context, ids []int64, tenants []string) (map[int64]retention.Media, error) {
	return m.opt.Store.MediaOf(ctx, ids, tenants)
}

func (m keepMedia) Remove(ctx context.Context, uuids []string, actor, why string, outcome func(string, error)) error {
	return m.remover.Remove(ctx, uuids, actor, why, outcome)
}

// keepHolds gives the store's "not found" the name that the domain has for it.
type keepHolds struct{ *store.Store }

func (h keepHolds) SetHold(ctx context.Context, id int64, reason, actor string) error {
	return holdError(h.Store.SetHold(ctx, id, reason, actor))
}

func (h keepHolds) ReleaseHold(ctx context.Context, id int64, reason, actor string) error {
	return holdError(h.Store.ReleaseHold(ctx, id, reason, actor))
}

func holdError(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%w: %w", retention.ErrNotFound, err)
	}
	return err
}

type keepExports struct{ *Keeping }

func (x keepExports) Get(ctx context.Context, uuid string, tenants []string) (export.Export, bool, error) {
	return x.opt.Exports.Get(ctx, uuid, tenants)
}

func (x keepExports) Open(e export.Export) (*os.File, error) { return x.opt.Exports.Open(e) }

func (x keepExports) Create(ctx context.Context, r export.Request, q api.Query) (export.Export, error) {
	return x.opt.Exports.Create(ctx, r, func(yield func([]export.Item) error) error { return x.selected(ctx, q, yield) })
}

// exportPart is how many recordings are handed over together.
const exportPart = 500

// selected yields the recordings of what a query finds, the oldest call first.
// Whose recordings are seen is decided by their own tenant (design 5).
func (k *Keeping) selected(ctx context.Context, q api.Query, yield func([]export.Item) error) error {
	f, recorded := filterOf(q), true
	f.Recorded, f.Ascending, f.Limit = &recorded, true, 0
	found, err := k.opt.Store.WalkCDRs(ctx, f)
	if err != nil {
		return err
	}
	var items []export.Item
	for c, err := range found.All {
		if err != nil {
			return err
		}
		for _, r := range c.Recordings {
			if r.State != recorder.Deleted && slices.Contains(q.Tenants, r.TenantUUID) {
				items = append(items, export.Item{Recording: r, CDRID: c.ID})
			}
		}
		if len(items) < exportPart {
			continue
		}
		if err := yield(items); err != nil {
			return err
		}
		items = nil
	}
	return yield(items)
}
