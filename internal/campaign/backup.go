package campaign

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// backup is one that was taken while all went on.
type backup struct {
	dir string
	at  time.Time
}

// takeBackup takes one in the midst of the faults.
func (c *campaign) takeBackup(ctx context.Context) error {
	b := backup{filepath.Join(c.site.dir, fmt.Sprintf("backup-%d", len(c.backups)+1)), time.Now()}
	if _, err := c.site.command(ctx, "backup", b.dir); err != nil {
		return err
	}
	c.say("backup taken within %s", time.Since(b.at).Round(ms))
	c.backups = append(c.backups, b)
	return nil
}

// checkBackups brings each back to another place and has that verified.
func (c *campaign) checkBackups(ctx context.Context) (string, error) {
	var taken []string
	for _, b := range c.backups {
		if err := c.checkBackup(ctx, b); err != nil {
			return "", fmt.Errorf("the backup of %s: %w", b.at.Format(time.TimeOnly), err)
		}
		taken = append(taken, b.at.Format(time.TimeOnly))
	}
	if len(taken) == 0 {
		return "", nil
	}
	return "taken at " + strings.Join(taken, ", ") + ", restored and verified", nil
}

func (c *campaign) checkBackup(ctx context.Context, b backup) error {
	dir := filepath.Join(c.site.dir, "restored")
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	cfg := c.site.cfg
	cfg.Recordings.Root = filepath.Join(dir, "recordings")
	cfg.State.Dir, cfg.State.Socket = filepath.Join(dir, "state"), filepath.Join(dir, "control.sock")
	for _, d := range []string{cfg.Recordings.Root, cfg.State.Dir} {
		if err := os.MkdirAll(d, 0o750); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
	}
	file := filepath.Join(dir, "callrecordd.yaml")
	if err := os.WriteFile(file, []byte(cfg.YAML()), 0o600); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if _, err := c.site.commandFor(ctx, file, "restore", b.dir); err != nil {
		return err
	}
	if text, err := c.site.commandFor(ctx, file, "verify"); err != nil {
		return fmt.Errorf("verify what was restored: %w: %s", err, text)
	}
	return nil
}
