package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"callrecordd/ari"
	"callrecordd/ari/ami"
	"callrecordd/config"
	"callrecordd/internal/check"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
)

func checkCmd(e *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Try with the running Asterisk all that callrecordd needs; say what is missing, and where",
		Long: "Asterisk has to record a probe channel into the folder of recordings, and its rows have to arrive in the journal.\n" +
			"The daemon may run or not. Run this as root or as the daemon's user.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				e.format = "json"
			}
			cfg, err := config.Load(e.configPath)
			if err != nil {
				return err
			}
			o, err := e.checkOptions(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			report, err := check.Run(cmd.Context(), o)
			o.ARI.CloseIdleConnections()
			if err != nil {
				return err
			}
			return e.showReport(report)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, as -o json does")
	return cmd
}

func (e *environment) checkOptions(ctx context.Context, cfg config.Config) (check.Options, error) {
	a := cfg.Asterisk
	base, err := url.Parse(a.ARIURL)
	if err != nil {
		return check.Options{}, fmt.Errorf("asterisk.ari_url: %w", err)
	}
	o := check.Options{
		ARI: ari.New(base, ari.Credentials{User: a.ARIUser, Password: a.ARIPassword.Reveal()}), ARIUser: a.ARIUser, ARIURL: a.ARIURL,
		AMI:     ami.Config{Address: a.AMIAddress, User: a.AMIUser, Secret: a.AMIPassword.Reveal()},
		Journal: a.Journal, Root: cfg.Recordings.Root,
	}
	if _, err := os.Stat(cfg.State.Database()); errors.Is(err, os.ErrNotExist) {
		return o, nil // there is no directory yet, and a check creates none
	}
	err = e.withClient(ctx, func(c *control.Client) error {
		var tenants []directory.Tenant
		var users []directory.User
		var trunks []directory.Trunk
		var devices []directory.Device
		for path, out := range map[string]any{"tenants": &tenants, "users": &users, "trunks": &trunks, "devices": &devices} {
			if err := c.Do(ctx, "GET", path, nil, out); err != nil {
				return err
			}
		}
		ids := map[string]string{}
		for _, t := range tenants {
			ids[t.UUID] = t.AsteriskID
		}
		for _, u := range users {
			for _, l := range u.Lines {
				o.Lines = append(o.Lines, check.Line{User: u.Name(), Endpoint: l.Endpoint, TenantID: ids[u.TenantUUID]})
			}
		}
		for _, t := range trunks {
			o.Others = append(o.Others, t.Endpoint)
		}
		for _, d := range devices {
			o.Others = append(o.Others, d.Endpoint)
		}
		o.Directory = true
		return nil
	})
	if err != nil { // Asterisk can be checked all the same
		fmt.Fprintln(e.err, "The directory is left out of the check:", err)
	}
	return o, ctx.Err()
}

// showReport prints the result; a fault is the error of the command.
func (e *environment) showReport(r check.Report) error {
	if e.format == "json" {
		if err := e.show(r, nil, nil); err != nil {
			return err
		}
	} else {
		for _, p := range r.Passed {
			fmt.Fprintln(e.out, "ok      ", p)
		}
		for _, l := range r.Lacks {
			fmt.Fprintln(e.out, "lacks   ", l)
		}
		for _, f := range r.Findings {
			fmt.Fprintf(e.out, "%-8s %s\n         so: %s\n", f.Level, f.What, f.Consequence)
			if len(f.Lines) > 0 {
				fmt.Fprintf(e.out, "         in %s:\n             %s\n", f.File, strings.Join(f.Lines, "\n             "))
			}
			if f.Hint != "" {
				fmt.Fprintln(e.out, "         do:", f.Hint)
			}
		}
	}
	if !r.OK() {
		return errors.New("this Asterisk lacks what callrecordd needs")
	}
	return nil
}
