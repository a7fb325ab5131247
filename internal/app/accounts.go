package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"callrecordd/config"
	"callrecordd/internal/auth"
	"callrecordd/internal/directory"
	"callrecordd/store"
)

// OpenAccounts returns who may log in. The command line uses it too, when no
// daemon runs.
func OpenAccounts(ctx context.Context, cfg config.Config, st *store.Store, tokens *auth.Service, dir *directory.Service, now func() time.Time) (*auth.Accounts, error) {
	key, err := refreshKey(keyFile(cfg.State.Dir, filepath.Base(cfg.State.RefreshKey())))
	if err != nil {
		return nil, err
	}
	policy := cfg.Accounts.UserPolicy
	if len(policy) == 0 {
		policy = auth.DefaultUserPolicy()
	}
	return auth.NewAccounts(ctx, auth.AccountsOptions{
		Repo: st, Tokens: tokens, Now: now, NewUUID: uuid.NewString, Master: dir.Book().Master().UUID, Key: key,
		UserPolicy: policy, MaxSessions: cfg.Accounts.MaxSessions, Lifetime: cfg.Accounts.TokenLifetime,
	})
}

const keyLength = 32

// refreshKey reads the key or makes it. A new one is harmless: refresh tokens
// stay valid, only who asks for theirs again gets another.
func refreshKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	switch {
	case err == nil && len(key) == keyLength:
		return key, nil
	case err == nil:
		return nil, fmt.Errorf("key of refresh tokens %s: it has %d bytes, not %d; remove it, a new one will be made", path, len(key), keyLength)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("key of refresh tokens: %w", err)
	}
	key = make([]byte, keyLength)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the program instead
	tmp := path + ".new"
	if err := os.WriteFile(tmp, key, 0o600); err != nil {
		return nil, fmt.Errorf("key of refresh tokens: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return nil, fmt.Errorf("key of refresh tokens: %w", err)
	}
	return key, nil
}

// stackSetting names this installation in tokens.
const stackSetting = "stack_uuid"

// sweepEvery is how often expired tokens are deleted.
const sweepEvery = time.Minute

func (a *App) startAccounts(ctx context.Context) error {
	a.tokens = auth.New(a.store, a.opt.Now, uuid.NewString)
	var err error
	if a.accounts, err = OpenAccounts(ctx, a.opt.Config, a.store, a.tokens, a.directory, a.opt.Now); err != nil {
		return err
	}
	var known bool
	if a.stackUUID, known, err = a.store.Setting(ctx, stackSetting); err == nil && !known {
		a.stackUUID = a.opt.NewUUID()
		err = a.store.SetSetting(ctx, stackSetting, a.stackUUID, "callrecordd")
	}
	if err != nil {
		return err
	}
	a.stack.goStep("sessions", a.failed, a.sweepTokens)
	return nil
}

// firstStart makes the administrator and tells the password, once nothing that
// an administrator may have to mend first can end the start.
func (a *App) firstStart(ctx context.Context) error {
	if a.opt.FirstStart == nil {
		return nil
	}
	username, password, err := a.accounts.Bootstrap(ctx)
	if err == nil && username != "" {
		a.opt.FirstStart(username, password)
	}
	return err
}

func (a *App) sweepTokens(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := a.tokens.Sweep(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("expired tokens stay in the database", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// forgetUsers has the tokens of users that are gone refused at once; the
// directory has deleted them in the database.
func (a *App) forgetUsers(before, after *directory.Book) {
	if a.tokens == nil {
		return // the directory is filled for the first time
	}
	for _, u := range before.Contents().Users {
		if _, there := after.User(u.UUID); !there {
			a.tokens.Forget(u.UUID)
		}
	}
}
