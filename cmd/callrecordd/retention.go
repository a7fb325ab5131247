package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"callrecordd/internal/app"
	"callrecordd/internal/control"
	"callrecordd/internal/retention"
)

func retentionCmd(e *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "retention", Short: "For how long things are kept, and removal of what is too old"}
	cmd.AddCommand(retentionShow(e), retentionSet(e), retentionPurge(e))
	return cmd
}

func retentionRows(list []app.RetentionStatus) [][]string {
	days := func(own *int, inForce int) string {
		text := strconv.Itoa(inForce)
		if inForce == 0 {
			text = "for ever"
		}
		if own == nil {
			text += " (default)"
		}
		return text
	}
	var rows [][]string
	for _, s := range list {
		rows = append(rows, []string{
			s.TenantUUID, days(s.CDRDays, s.InForce.CDR), days(s.RecordingDays, s.InForce.Recording), days(s.ExportDays, s.InForce.Export),
		})
	}
	return rows
}

func retentionHeader() []string {
	return []string{"TENANT", "CDR DAYS", "RECORDING DAYS", "EXPORT DAYS"}
}

func retentionShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show for how many days each tenant keeps CDRs, recordings and exports",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				var list []app.RetentionStatus
				if err := c.Do(cmd.Context(), "GET", "retention", nil, &list); err != nil {
					return err
				}
				return e.show(list, retentionHeader(), retentionRows(list))
			})
		},
	}
}

func retentionSet(e *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set TENANT",
		Short: "Change for how many days a tenant keeps things",
		Long:  "Change for how many days a tenant keeps things. 0 is for ever, default is what the configuration says; what is not named stays.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				tenant, err := findTenant(cmd.Context(), c, args[0])
				if err != nil {
					return err
				}
				var list []app.RetentionStatus
				if err := c.Do(cmd.Context(), "GET", "retention", nil, &list); err != nil {
					return err
				}
				var p retention.Policy
				for _, s := range list {
					if s.TenantUUID == tenant {
						p = s.Policy
					}
				}
				for name, to := range map[string]**int{
					"cdr-days": &p.CDRDays, "recording-days": &p.RecordingDays, "export-days": &p.ExportDays,
				} {
					text := cmd.Flag(name).Value.String()
					if !cmd.Flag(name).Changed {
						continue
					}
					if *to = nil; text == "default" {
						continue
					}
					n, err := strconv.Atoi(text)
					if err != nil {
						return fmt.Errorf("--%s: %q is neither a number of days nor default", name, text)
					}
					*to = &n
				}
				var s app.RetentionStatus
				if err := c.Do(cmd.Context(), "PUT", control.Path("retention", tenant), p, &s); err != nil {
					return err
				}
				return e.show(s, retentionHeader(), retentionRows([]app.RetentionStatus{s}))
			})
		},
	}
	cmd.Flags().String("cdr-days", "", "CDRs, and with them their recordings")
	cmd.Flags().String("recording-days", "", "recordings; their CDRs stay")
	cmd.Flags().String("export-days", "", "archives of exports")
	return cmd
}

func retentionPurge(e *environment) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "purge",
		Short: "Remove now what is too old; the daemon does so by itself every hour",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				var list []retention.TenantReport
				if err := c.Do(cmd.Context(), "POST", "purge", map[string]bool{"dry_run": dry}, &list); err != nil {
					return err
				}
				var rows [][]string
				for _, r := range list {
					rows = append(rows, []string{
						r.TenantUUID, strconv.Itoa(r.Recordings), megabytes(r.Bytes), strconv.Itoa(r.CDRs), strconv.Itoa(r.Exports),
						strconv.Itoa(r.Held), strconv.Itoa(r.Failed),
					})
				}
				return e.show(list, []string{"TENANT", "RECORDINGS", "SIZE", "CDRS", "EXPORTS", "HELD", "FAILED"}, rows)
			})
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be removed")
	return cmd
}
