package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"callrecordd/internal/app"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/internal/export"
)

func exportCmd(e *environment) *cobra.Command {
	var tenant, from, until string
	var lastWeek, noWait bool
	var req app.ExportRequest
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Pack the recordings of a tenant into one archive",
		Long: "Pack the recordings of a tenant into one archive, and wait until that is done.\n\n" +
			"Times are 2026-11-23, 2026-11-23T10:00 or 2026-11-23T10:00:00+01:00; without a zone they are local.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if lastWeek && (from != "" || until != "") {
				return fmt.Errorf("--last-week already says from when until when")
			}
			if lastWeek {
				req.From, req.Until = weekBefore(time.Now())
			} else if req.From, req.Until, err = period(from, until); err != nil {
				return err
			}
			return e.withDaemon(cmd.Context(), func(c *control.Client) error {
				if req.TenantUUID, err = findTenant(cmd.Context(), c, tenant); err != nil {
					return err
				}
				var s app.ExportStatus
				if err := c.Do(cmd.Context(), "POST", "exports", req, &s); err != nil {
					return err
				}
				if !noWait {
					if s, err = e.watchExport(cmd.Context(), c, s.UUID); err != nil {
						return err
					}
				}
				return e.showExports([]app.ExportStatus{s}, s)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&tenant, "tenant", "", "name or uuid of the tenant (default: the master tenant)")
	f.StringVar(&from, "from", "", "calls that began then or later")
	f.StringVar(&until, "until", "", "calls that began before")
	f.BoolVar(&lastWeek, "last-week", false, "calls of the week before, Monday to Sunday")
	f.BoolVar(&req.Recurse, "recurse", false, "those of the tenants below, too")
	f.StringVar(&req.Email, "email", "", "who gets a mail with the link")
	f.BoolVar(&noWait, "no-wait", false, "only ask for it")
	cmd.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "List all exports",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withDaemon(cmd.Context(), func(c *control.Client) error {
				var list []app.ExportStatus
				if err := c.Do(cmd.Context(), "GET", "exports", nil, &list); err != nil {
					return err
				}
				return e.showExports(list, list)
			})
		},
	})
	return cmd
}

// showExports ends with an error if the only one has failed.
func (e *environment) showExports(list []app.ExportStatus, v any) error {
	var rows [][]string
	for _, s := range list {
		rows = append(rows, []string{
			s.UUID, string(s.Status), strconv.Itoa(s.Files), strconv.Itoa(s.Missing), megabytes(s.Bytes), string(s.Mail), s.Path,
		})
	}
	err := e.show(v, []string{"EXPORT", "STATUS", "FILES", "MISSING", "SIZE", "MAIL", "PATH"}, rows)
	if _, many := v.([]app.ExportStatus); err == nil && !many && list[0].Status == export.Failed {
		return fmt.Errorf("the export has failed: %s", list[0].Cause)
	}
	return err
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// watchExport waits until an export has ended, and shows how far it is on a
// terminal.
func (e *environment) watchExport(ctx context.Context, c *control.Client, uuid string) (s app.ExportStatus, err error) {
	p := newProgress(e.err)
	defer p.end()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := c.Do(ctx, "GET", control.Path("exports", uuid), nil, &s); err != nil {
			return s, err
		}
		switch s.Status {
		case export.Finished, export.Failed:
			return s, nil
		case export.Pending:
			p.show("waiting")
		case export.Processing:
			p.show("%d of %d files, %s of %s", s.DoneFiles, s.Files, megabytes(s.DoneBytes), megabytes(s.Bytes))
		}
		select {
		case <-ctx.Done():
			return s, fmt.Errorf("stopped waiting, the daemon goes on with export %s: %w", uuid, ctx.Err())
		case <-tick.C:
		}
	}
}

// progress is one line on a terminal that is written anew; elsewhere nothing.
type progress struct {
	w     io.Writer
	wrote int
}

func newProgress(w io.Writer) *progress {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &progress{w: w}
	}
	return &progress{}
}

func (p *progress) show(format string, args ...any) {
	if p.w == nil {
		return
	}
	text := fmt.Sprintf(format, args...)
	fmt.Fprintf(p.w, "\r%s%s", text, strings.Repeat(" ", max(0, p.wrote-len(text))))
	p.wrote = len(text)
}

func (p *progress) end() {
	if p.wrote > 0 {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.wrote))
	}
}

// weekBefore is from Monday to Monday, local time.
func weekBefore(now time.Time) (from, until time.Time) {
	sinceMonday := (int(now.Weekday()) + 6) % 7
	until = time.Date(now.Year(), now.Month(), now.Day()-sinceMonday, 0, 0, 0, 0, now.Location())
	return until.AddDate(0, 0, -7), until
}

// period reads two times, either of which may be empty.
func period(from, until string) (f, u time.Time, err error) {
	for _, x := range []struct {
		name, text string
		to         *time.Time
	}{{"from", from, &f}, {"until", until, &u}} {
		if x.text == "" {
			continue
		}
		if *x.to, err = readTime(x.text); err != nil {
			return f, u, fmt.Errorf("--%s: %w", x.name, err)
		}
	}
	return f, u, nil
}

func readTime(text string) (time.Time, error) {
	for _, layout := range []string{
		"2006-01-02", "2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02 15:04:05",
		time.RFC3339, "2006-01-02T15:04:05-0700", "2006-01-02T15:04:05-07",
	} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time; write 2026-11-23, 2026-11-23T10:00 or 2026-11-23T10:00:00+01:00", text)
}

// findTenant returns the uuid of the tenant that a person means; nothing means
// the master tenant.
func findTenant(ctx context.Context, c *control.Client, word string) (string, error) {
	var list []directory.Tenant
	if err := c.Do(ctx, "GET", "tenants", nil, &list); err != nil {
		return "", err
	}
	var found []string
	for _, t := range list {
		if word == t.UUID || word == "" && t.UUID == t.Parent {
			return t.UUID, nil
		}
		if strings.EqualFold(t.Name, word) {
			found = append(found, t.UUID)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("there is no tenant %q; `callrecordd tenant list` shows them", word)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%q may be any of %s: name the one you mean", word, strings.Join(found, ", "))
}
