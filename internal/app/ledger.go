package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"callrecordd/config"
	"callrecordd/internal/alarm"
	"callrecordd/internal/export"
	"callrecordd/internal/ledger"
	"callrecordd/internal/notary"
	"callrecordd/internal/recorder"
)

// ledgerKeyName is the name of the private key, as a credential of the service or
// in the state directory.
const ledgerKeyName = "ledger.key"

// LedgerKeyFile is where the private key of the ledger is.
func LedgerKeyFile(cfg config.Config) string {
	if cfg.Ledger.Key != "" {
		return cfg.Ledger.Key
	}
	return keyFile(cfg.State.Dir, ledgerKeyName)
}

// keyFile is where a key is: the credential of the service with its name, if
// there is one, else a file in the state directory.
func keyFile(stateDir, name string) string {
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		file := filepath.Join(dir, name)
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	return filepath.Join(stateDir, name)
}

// LedgerPublicKeyFile is where the daemon writes the public key, for those who
// verify.
func LedgerPublicKeyFile(cfg config.Config) string { return filepath.Join(cfg.State.Dir, "ledger.pub") }

// LedgerSigner reads the private key of the ledger, or makes it if it is not
// there, and writes the public one for those who verify.
func LedgerSigner(cfg config.Config, random io.Reader) (*ledger.Signer, error) {
	path := LedgerKeyFile(cfg)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		var key string
		host, _ := os.Hostname() // only for people
		if key, err = ledger.NewKey(random, host); err == nil {
			text = []byte(key + "\n")
			err = writeSecret(path, text)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("key of the ledger: %w", err)
	}
	signer, err := ledger.NewSigner(string(text))
	if err != nil {
		return nil, fmt.Errorf("key of the ledger, %s: %w; restore it from a backup, or remove it, which makes another", path, err)
	}
	public := []byte(signer.Public() + "\n")
	if have, err := os.ReadFile(LedgerPublicKeyFile(cfg)); err == nil && string(have) == string(public) {
		return signer, nil
	}
	if err := os.WriteFile(LedgerPublicKeyFile(cfg), public, 0o644); err != nil {
		return nil, fmt.Errorf("public key of the ledger: %w", err)
	}
	return signer, nil
}

// startLedger has the ledger chained and signed. It is stopped right before the
// database, so that the last checkpoint counts everything. Who cannot sign can
// still record.
func (a *App) startLedger(ctx context.Context) error {
	if err := a.store.BeginLedger(ctx); err != nil {
		return err
	}
	log := a.log.With("part", "ledger")
	signer, err := LedgerSigner(a.opt.Config, rand.Reader)
	if err != nil {
		log.Error("no checkpoints of the ledger are made until the next start", "err", err)
		a.unsigned = err.Error()
		a.stack.goStep("ledger", a.failed, func(ctx context.Context) error {
			if _, err := a.store.ChainEvents(ctx); err != nil && ctx.Err() == nil {
				log.Error("entries of before the ledger have no hashes until the next start", "err", err)
			}
			return nil
		})
		return nil
	}
	a.notary = notary.New(notary.Options{
		Repo: a.store, Signer: signer, Anchor: a.opt.Config.Ledger.Anchor, Every: a.opt.Config.Ledger.Every,
		Now: a.opt.Now, Log: log, Anchoring: a.noteAnchoring, Ahead: a.noteAhead,
	})
	a.stack.goStep("ledger", a.failed, a.notary.Run)
	return nil
}

// prover is nil without a key.
func (a *App) prover() export.Prover {
	if a.notary == nil {
		return nil
	}
	return a.notary
}

// noteAnchoring tells that the anchor file cannot be written to, or can again.
func (a *App) noteAnchoring(failure error) {
	event := recorder.Event{Kind: "ledger.anchored", Actor: "callrecordd", Data: map[string]string{"file": a.opt.Config.Ledger.Anchor}}
	if failure != nil {
		a.log.Error("the anchor file of the ledger cannot be written to, it is tried again with each checkpoint",
			"file", a.opt.Config.Ledger.Anchor, "err", failure)
		event.Kind = "ledger.anchor_failed"
		event.Data = map[string]string{"file": a.opt.Config.Ledger.Anchor, "error": failure.Error()}
	} else {
		a.log.Info("the anchor file of the ledger can be written to again", "file", a.opt.Config.Ledger.Anchor)
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if err := a.store.AppendEvents(ctx, event); err != nil {
		a.log.Error("event could not be stored", "kind", event.Kind, "err", err)
	}
}

// noteAhead tells that a part of the ledger is gone. The daemon goes on: calls
// must be recorded.
func (a *App) noteAhead(failure error) {
	a.alarms.Happened(alarm.LedgerShorter, "", a.opt.Config.Ledger.Anchor, failure.Error())
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	event := recorder.Event{Kind: "ledger.shorter", Actor: "callrecordd", Data: map[string]string{
		"file": a.opt.Config.Ledger.Anchor, "error": failure.Error(),
	}}
	if err := a.store.AppendEvents(ctx, event); err != nil {
		a.log.Error("event could not be stored", "kind", event.Kind, "err", err)
	}
}

// ledgerFaults are why no checkpoints are signed, and why they are not in the
// anchor file; empty if all is well.
func (a *App) ledgerFaults() (unsigned, unanchored string) {
	if a.notary == nil {
		return a.unsigned, ""
	}
	s := a.notary.State()
	return s.Failure, s.AnchorFailure
}

// ledgerStatus is how the ledger is, in a line for people.
func (a *App) ledgerStatus() string {
	if a.notary == nil {
		return "not signed: " + a.unsigned
	}
	s := a.notary.State()
	switch {
	case s.Failure != "":
		return "no new checkpoint: " + s.Failure
	case s.AnchorFailure != "":
		return "not anchored: " + s.AnchorFailure
	case s.At.IsZero():
		return "no checkpoint yet"
	}
	return fmt.Sprintf("%d entries signed at %s", s.Size, s.At.UTC().Format(time.RFC3339))
}
