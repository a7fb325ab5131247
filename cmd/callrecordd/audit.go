package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"callrecordd/internal/app"
	"callrecordd/internal/audit"
	"callrecordd/internal/control"
)

// moreFormats is the annotation of a command that has outputs of its own.
const moreFormats = "formats"

func hasFormat(cmd *cobra.Command, format string) bool {
	return slices.Contains(strings.Fields(cmd.Annotations[moreFormats]), format)
}

const auditLong = `Say of every call that began in a period whether what had to be recorded is in a file. What had to be comes from the talks in Asterisk's journal, the decisions that were stored and the rules in force at the time; what is in a file from its audio. Calls that are as they have to be are counted and, with --all, listed.

Without --since it is the last 24 hours. What is in a file was measured when it was closed. --audio files reads those again whose size or age is not what was stored, --audio audio reads each, --audio stored looks at none. Without --audio it is files for periods of up to 35 days, and stored for longer ones.

-o html makes one page to keep, print or send; -o text is another name for table. Nothing is changed. --nightly keeps a report for each tenant in audit.dir, as the timer does every night. With --fail the exit code is 1 if something is not covered, was recorded and should not have been, or cannot be known.`

// auditOptions are the flags.
type auditOptions struct {
	since, until, tenant, audio string
	all, fail, nightly          bool
}

func auditCmd(e *environment) *cobra.Command {
	var o auditOptions
	cmd := &cobra.Command{
		Use:         "audit",
		Short:       "Say which calls that had to be recorded are not, and why",
		Long:        auditLong,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{moreFormats: "html text"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			req, err := o.request(time.Now())
			if err != nil {
				return err
			}
			if o.nightly && (o.tenant != "" || o.all || o.audio != "") {
				return errors.New("--nightly makes the reports of all tenants in its own way: leave --tenant, --all and --audio away")
			}
			if o.nightly && (e.format == "html" || e.format == "csv") {
				return fmt.Errorf("--nightly keeps html and json of each tenant and lists them as table, text or json, not as %s", e.format)
			}
			if o.nightly {
				return e.nightly(cmd.Context(), req, o)
			}
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				if o.tenant != "" {
					uuid, err := findTenant(cmd.Context(), c, o.tenant)
					if err != nil {
						return err
					}
					req.Tenants = []string{uuid}
				}
				whole, err := e.audit(cmd.Context(), c, req)
				if err == nil && o.fail && whole.Bad > 0 {
					return errTold
				}
				return err
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.since, "since", "", "calls that began at this time or later (default: 24 hours before --until)")
	f.StringVar(&o.until, "until", "", "calls that began before this time (default: now)")
	f.StringVar(&o.tenant, "tenant", "", "name or uuid of a tenant (default: all)")
	f.StringVar(&o.audio, "audio", "", "what of the files to look at: stored, files or audio")
	f.BoolVar(&o.all, "all", false, "list calls that are as they have to be as well")
	f.BoolVar(&o.nightly, "nightly", false, "keep a report for each tenant, of the day before without --since, and list them")
	f.BoolVar(&o.fail, "fail", false, "exit with 1 if something is not covered")
	return cmd
}

// request is what the flags ask for.
func (o auditOptions) request(now time.Time) (req app.AuditRequest, err error) {
	req = app.AuditRequest{Until: now, All: o.all, Audio: app.LookMode(o.audio)}
	if o.until != "" {
		if req.Until, err = readTime(o.until); err != nil {
			return req, fmt.Errorf("--until: %w", err)
		}
	}
	if o.nightly && o.until == "" {
		y, m, d := now.Date()
		req.Until = time.Date(y, m, d, 0, 0, 0, 0, now.Location())
	}
	req.Since = req.Until.Add(-24 * time.Hour)
	if o.nightly {
		req.Since = req.Until.AddDate(0, 0, -1) // a day may have 23 hours
	}
	if o.since != "" {
		if req.Since, err = readTime(o.since); err != nil {
			return req, fmt.Errorf("--since: %w", err)
		}
	}
	if !req.Since.Before(req.Until) {
		return req, fmt.Errorf("nothing lies between --since %s and --until %s", req.Since.Format(time.RFC3339), req.Until.Format(time.RFC3339))
	}
	if !slices.Contains([]app.LookMode{"", app.LookStored, app.LookFiles, app.LookAudio}, req.Audio) {
		return req, fmt.Errorf("--audio %q is neither stored, files nor audio", o.audio)
	}
	return req, nil
}

// nightly has the reports made that are kept.
func (e *environment) nightly(ctx context.Context, req app.AuditRequest, o auditOptions) error {
	return e.withClient(ctx, func(c *control.Client) error {
		var made []app.NightlyReport
		if err := c.Do(ctx, "POST", "audit/nightly", app.NightlyRequest{Since: req.Since, Until: req.Until}, &made); err != nil {
			return err
		}
		var rows [][]string
		bad := 0
		for _, r := range made {
			bad += r.Bad
			rows = append(rows, []string{cmp.Or(r.Name, r.Tenant), strconv.Itoa(r.Calls), fmt.Sprintf("%.3f", r.Coverage), strconv.Itoa(r.Bad), r.HTML})
		}
		if err := e.show(made, []string{"TENANT", "CALLS", "COVERED %", "BAD", "REPORT"}, rows); err != nil {
			return err
		}
		if o.fail && bad > 0 {
			return errTold
		}
		return nil
	})
}

// audit asks for part after part and prints each as it comes.
func (e *environment) audit(ctx context.Context, c *control.Client, req app.AuditRequest) (whole audit.Sum, err error) {
	report := audit.Report{Since: req.Since, Until: req.Until, Made: time.Now()}
	out, err := e.auditPrinter(&report)
	if err != nil {
		return whole, err
	}
	if err := out.begin(); err != nil {
		return whole, err
	}
	for first := true; ; first = false {
		var page app.AuditPage
		if err := c.Do(ctx, "POST", "audit", req, &page); err != nil {
			return whole, fmt.Errorf("audit, after %d calls: %w", report.Tenants.Whole().Calls, err)
		}
		if first {
			report.Outages = page.Outages
		}
		report.Tenants.Merge(page.Sums)
		for _, v := range page.Calls {
			if err := out.call(v); err != nil {
				return whole, err
			}
		}
		if req.After = page.Next; page.Next == "" {
			break
		}
	}
	return report.Tenants.Whole(), out.end()
}

// auditPrinter writes a report while it comes.
type auditPrinter struct {
	begin func() error
	call  func(audit.Verdict) error
	end   func() error
}

func nothing() error { return nil }

func (e *environment) auditPrinter(r *audit.Report) (auditPrinter, error) {
	switch e.format {
	case "json":
		w := audit.NewJSON(e.out, r)
		return auditPrinter{w.Begin, w.Call, w.End}, nil
	case "csv":
		w := csv.NewWriter(e.out)
		flush := func() error { w.Flush(); return w.Error() }
		return auditPrinter{
			func() error { return w.Write(audit.CSVHeader()) },
			func(v audit.Verdict) error { return w.WriteAll(audit.CSVRows(v)) }, flush,
		}, nil
	case "html":
		return auditPrinter{nothing, func(v audit.Verdict) error { r.Put(v); return nil }, func() error { return audit.HTML(e.out, *r) }}, nil
	}
	w := tabwriter.NewWriter(e.out, 2, 8, 2, ' ', 0)
	return auditPrinter{
		func() error { _, err := fmt.Fprintln(w, "CALL\tBEGAN\tCLASS\tLACKS\tWHAT"); return err },
		func(v audit.Verdict) error {
			_, err := fmt.Fprintf(w, "%d\t%s\t%s\t%.1f s\t%s\n", v.CDRID, v.Start.Local().Format("2006-01-02 15:04:05 MST"), v.Class, v.LackingSeconds, v.Explanation)
			return err
		},
		func() error { return errors.Join(w.Flush(), writeSums(e.out, r)) },
	}, nil
}

// writeSums ends the table with what it comes to.
func writeSums(out io.Writer, r *audit.Report) error {
	for _, s := range append(slices.Clone(r.Tenants), r.Tenants.Whole()) {
		name := s.Name
		if name == "" {
			name = s.Tenant
		}
		if s.Tenant == "" {
			name = "all"
		}
		var classes []string
		for _, c := range audit.Classes() {
			if n := s.By[c]; n > 0 {
				classes = append(classes, fmt.Sprintf("%d %s", n, c))
			}
		}
		if _, err := fmt.Fprintf(out, "%s: %.3f %% of %s covered; %d calls: %s\n", name, s.Coverage,
			(time.Duration(s.RequiredSeconds) * time.Second).String(), s.Calls, strings.Join(classes, ", ")); err != nil {
			return err
		}
	}
	for _, o := range r.Outages {
		if _, err := fmt.Fprintln(out, o.String()); err != nil {
			return err
		}
	}
	return nil
}
