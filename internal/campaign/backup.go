package campaign

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// backup is one that was taken while all went on.
type backup struct {
	dir string
	at  time.Time
}

// takeBackup takes one in the midst of the faults.
func (c *campaign) takeBackup(ctx context.Context) error {
	b := backup{filepath.Join(c.site.dir, "backup"), time.Now()}
	if _, err := c.site.command(ctx, "backup", b.dir); err != nil {
		return err
	}
	c.say("backup taken within %s", time.Since(b.at).Round(ms))
	c.backup = b
	return nil
}

// checkBackup brings it back to another place and has that verified.
func (c *campaign) checkBackup(ctx context.Context) (string, error) {
	if c.backup.dir == "" {
		return "", nil
	}
	dir := filepath.Join(c.site.dir, "restored")
	cfg := c.site.cfg
	cfg.Recordings.Root = filepath.Join(dir, "recordings")
	cfg.State.Dir, cfg.State.Socket = filepath.Join(dir, "state"), filepath.Join(dir, "control.sock")
	for _, d := range []string{cfg.Recordings.Root, cfg.State.Dir} {
		if err := os.MkdirAll(d, 0o750); err != nil {
			return "", fmt.Errorf("restore: %w", err)
		}
	}
	file := filepath.Join(dir, "callrecordd.yaml")
	if err := os.WriteFile(file, []byte(cfg.YAML()), 0o600); err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	if _, err := c.site.commandFor(ctx, file, "restore", c.backup.dir); err != nil {
		return "", err
	}
	text, err := c.site.commandFor(ctx, file, "verify")
	if err != nil {
		return "", fmt.Errorf("verify what was restored: %w: %s", err, text)
	}
	return "taken at " + c.backup.at.Format("15:04:05") + ", restored and verified", nil
}
