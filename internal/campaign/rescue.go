package campaign

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// rescue copies what would vanish with the disk and the folder: logs, database,
// journal and recordings, to look at what went wrong.
func (c *campaign) rescue() error {
	to := filepath.Join(c.opt.Out, "site")
	if err := os.RemoveAll(to); err != nil {
		return fmt.Errorf("keep the site: %w", err)
	}
	var errs []error
	for _, part := range []string{"state", "recordings", filepath.Join("asterisk", "log"), "callrecordd.log", "callrecordd.yaml"} {
		from := filepath.Join(c.site.dir, part)
		info, err := os.Stat(from)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("keep the site: %w", err))
		case info.IsDir():
			errs = append(errs, os.CopyFS(filepath.Join(to, part), os.DirFS(from)))
		default:
			text, err := os.ReadFile(from)
			if err == nil {
				err = os.WriteFile(filepath.Join(to, part), text, 0o600)
			}
			errs = append(errs, err)
		}
	}
	c.say("logs, database, journal and recordings are in %s", to)
	return errors.Join(errs...)
}
