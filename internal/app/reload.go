package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"callrecordd/config"
)

// reloadTime bounds how long the reducer may take to get to a reload.
const reloadTime = 5 * time.Second

// reload reads the configuration anew and puts those settings into force that
// can change while the daemon runs (config.Config.Reload). What runs in Asterisk
// stays as it is: a setting counts from the next press or pause on. A file with
// a fault changes nothing. The certificate of HTTPS is read again in any case.
func (a *App) reload(ctx context.Context) {
	a.opt.Notify("RELOADING=1")
	if a.certs != nil {
		a.certs.again()
	}
	if err := a.tryReload(ctx); err != nil {
		a.log.Error("configuration not reloaded, the old settings go on", "err", err)
	}
	a.opt.Notify("READY=1\nSTATUS=" + a.Status().Summary)
}

func (a *App) tryReload(ctx context.Context) error {
	next, err := a.opt.LoadConfig()
	if err != nil {
		return err
	}
	now, changed, waiting := a.config.Load().Reload(next)
	presses, err := newPresses(now.OnDemand)
	if err != nil {
		return fmt.Errorf("on_demand.code: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	if err := a.reducer.do(ctx, func() { a.reducer.configure(now, presses) }); err != nil {
		return fmt.Errorf("put settings into force: %w", err)
	}
	a.follower.SetKeep(now.Journal.Keep)
	if a.opt.Level != nil {
		a.opt.Level.Set(now.Log.SlogLevel())
	}
	a.config.Store(&now)
	a.log.Info("configuration reloaded", "changed", changed)
	if len(waiting) > 0 {
		a.log.Warn("these settings need a restart, their old values go on", "settings", waiting)
	}
	return nil
}

// configure takes over what an administrator may change while calls go on.
func (r *reducer) configure(cfg config.Config, presses *presses) {
	r.config, r.beeps = machineConfig(cfg), cfg.OnDemand.Tones
	r.presses.collector = presses.collector
	if r.machine != nil {
		r.machine.Configure(r.config)
	}
}

// debug switches debug messages in the log on, or off for those of the level info,
// until the next reload or restart.
func (a *App) debug(on bool, actor string) {
	cfg := *a.config.Load()
	was := cfg.Log.SlogLevel()
	switch {
	case on:
		cfg.Log.Level = "debug"
	case was <= slog.LevelDebug:
		cfg.Log.Level = "info"
	}
	if now := cfg.Log.SlogLevel(); now != was {
		a.log.Info("level of the log changed over HTTP", "level", now.String(), "actor", actor)
		if a.opt.Level != nil {
			a.opt.Level.Set(now)
		}
		a.config.Store(&cfg)
	}
}
