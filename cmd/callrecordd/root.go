package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"callrecordd/config"
)

// errTold ends a command with exit code 1 whose output says all there is to say.
var errTold = errors.New("degraded")

// environment is what a command may touch of the outside.
type environment struct {
	in       io.Reader
	out, err io.Writer
	version  string
	// configPath and format are set by flags of the root.
	configPath string
	format     string
}

func newRoot(env environment) *cobra.Command {
	root := &cobra.Command{
		Use:           "callrecordd",
		Short:         "Complete, provable call recording for Asterisk",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	e := &env
	// Before anything is done: a command whose answer cannot be printed must
	// not have changed anything.
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if e.format != "table" && e.format != "json" && e.format != "csv" && !hasFormat(cmd, e.format) {
			if more := cmd.Annotations[moreFormats]; more != "" {
				return fmt.Errorf("output %q is none of table, json, csv, %s", e.format, strings.Join(strings.Fields(more), ", "))
			}
			return fmt.Errorf("output %q is neither table, json nor csv", e.format)
		}
		return nil
	}
	root.SetIn(env.in)
	root.SetOut(env.out)
	root.SetErr(env.err)
	root.PersistentFlags().StringVarP(&e.configPath, "config", "c", config.DefaultPath, "configuration file")
	root.PersistentFlags().StringVarP(&e.format, "output", "o", "table", "output: table, json or csv; of audit also html")
	root.AddCommand(
		serveCmd(e), checkCmd(e), setupCmd(e), statusCmd(e), configCmd(e), versionCmd(e),
		tenantCmd(e), userCmd(e), groupCmd(e), queueCmd(e), trunkCmd(e), deviceCmd(e), featureCmd(e), directoryCmd(e),
		accountCmd(e), policyCmd(e), tokenCmd(e),
		recordingCmd(e), cdrCmd(e), rulesCmd(e), exportCmd(e), retentionCmd(e), webhookCmd(e), verifyCmd(e), ledgerCmd(e), auditCmd(e),
		backupCmd(e), restoreCmd(e),
	)
	named(root)
	return root
}

// named has commands that only hold others refuse a name that they do not know;
// otherwise they would print their help and succeed. All say how they are used if
// an argument lacks or is too many.
func named(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		named(c)
		if valid := c.Args; valid != nil {
			c.Args = func(cmd *cobra.Command, args []string) error {
				if err := valid(cmd, args); err != nil {
					return fmt.Errorf("%w; it is used as: %s", err, cmd.UseLine())
				}
				return nil
			}
		}
		if c.HasSubCommands() && !c.Runnable() {
			c.Args = cobra.ArbitraryArgs
			c.RunE = func(cmd *cobra.Command, args []string) error {
				if len(args) == 0 {
					return cmd.Help()
				}
				return fmt.Errorf("unknown command %q for %q; --help lists those there are", args[0], cmd.CommandPath())
			}
		}
	}
}

// show prints rows for people, the same with -o csv, or v as JSON with -o json.
func (e *environment) show(v any, header []string, rows [][]string) error {
	if e.format == "json" {
		enc := json.NewEncoder(e.out)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	if e.format == "csv" {
		w := csv.NewWriter(e.out)
		return errors.Join(w.Write(header), w.WriteAll(rows))
	}
	w := tabwriter.NewWriter(e.out, 2, 8, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(header, "\t"))
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	return w.Flush()
}

func versionCmd(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(e.out, "callrecordd", e.version)
			return err
		},
	}
}

func configCmd(e *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Show or check the configuration"}
	cmd.AddCommand(
		&cobra.Command{
			Use:   "sample",
			Short: "Print a documented configuration file with the defaults",
			Args:  cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				_, err := fmt.Fprint(e.out, config.Sample())
				return err
			},
		},
		&cobra.Command{
			Use:   "check",
			Short: "Check the configuration and say nothing if it can be used",
			Args:  cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				_, err := config.Load(e.configPath)
				return err
			},
		},
		&cobra.Command{
			Use:   "show",
			Short: "Check the configuration and print it with secrets hidden",
			Args:  cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				cfg, err := config.Load(e.configPath)
				if err != nil {
					return err
				}
				_, err = fmt.Fprint(e.out, cfg.Redacted().YAML())
				return err
			},
		},
	)
	return cmd
}
