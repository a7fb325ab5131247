package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"callrecordd/internal/control"
	"callrecordd/internal/why"
)

func cdrWhy(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "why ID",
		Short: "Say why a call was recorded or not",
		Long: "Say in plain words why a call was recorded or not: each decision with who asked for it and by which rule, each press of *3 " +
			"and what became of it, and what became of the files. It tells what was stored at the time, whatever the rules are now.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				var answer why.Answer
				if err := c.Do(cmd.Context(), "GET", control.Path("cdrs", args[0], "why"), nil, &answer); err != nil {
					return err
				}
				if e.format == "table" {
					fmt.Fprintln(e.out, answer.Summary)
					if len(answer.Steps) == 0 {
						return nil
					}
					fmt.Fprintln(e.out)
				}
				return e.show(answer, []string{"TIME", "WHAT HAPPENED"}, whyRows(answer.Steps))
			})
		},
	}
}

// whyRows has a row for each step, and below a decision one for each party.
func whyRows(steps []why.Step) (rows [][]string) {
	for _, s := range steps {
		rows = append(rows, []string{s.At.Local().Format("2006-01-02 15:04:05.000"), s.Text})
		for _, p := range s.Parties {
			verdict := "no"
			switch {
			case p.Hidden:
				verdict = "not shown"
			case p.Records:
				verdict = "yes"
			}
			text := fmt.Sprintf("  %s, %s: %s", p.Name, p.Role, verdict)
			if p.Reason != "" {
				text += ", " + string(p.Reason)
			}
			if p.Note != "" {
				text += " (" + string(p.Note) + ")"
			}
			rows = append(rows, []string{"", text})
		}
	}
	return rows
}
