package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"callrecordd/internal/control"
	"callrecordd/internal/directory"
)

func directoryCmd(e *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "directory", Short: "The directory as a whole"}
	cmd.AddCommand(importCmd(e))
	return cmd
}

func importCmd(e *environment) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Propose users, trunks and queues from what Asterisk knows; --yes applies it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				var plan directory.Plan
				if err := c.Do(cmd.Context(), "POST", "import/plan", nil, &plan); err != nil {
					return err
				}
				if err := showPlan(e, plan); err != nil {
					return err
				}
				if !yes {
					fmt.Fprintln(e.err, "Nothing was changed. Run again with --yes to apply this.")
					return nil
				}
				var done control.Applied
				if err := c.Do(cmd.Context(), "POST", "import/apply", plan, &done); err != nil {
					return err
				}
				fmt.Fprintf(e.err, "%d entries created or changed.\n", done.Changed)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "apply the plan")
	return cmd
}

func showPlan(e *environment, plan directory.Plan) error {
	var rows [][]string
	for _, p := range plan.Proposals {
		rows = append(rows, []string{string(p.Action), string(p.Kind), p.Name, p.Why})
	}
	return e.show(plan, []string{"ACTION", "KIND", "NAME", "WHY"}, rows)
}
