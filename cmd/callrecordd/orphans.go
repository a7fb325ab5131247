package main

import (
	"cmp"
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"callrecordd/internal/app"
	"callrecordd/internal/control"
	"callrecordd/internal/orphans"
)

func orphansCmd(e *environment) *cobra.Command {
	var repair, adopt, quarantine bool
	cmd := &cobra.Command{
		Use:   "orphans",
		Short: "List files that no recording knows, and recordings whose file is gone",
		Long: "List files that no recording knows, and recordings whose file is gone.\n\n" +
			"Without a flag nothing is changed. --repair puts files back that were renamed (they are recognised by their hash), and marks " +
			"recordings whose file is gone as missing. --adopt also makes recordings of files that are named like ours. --quarantine also " +
			"moves all other files to the folder quarantine of their tenant. Nothing is ever removed, and the files of recordings that " +
			"were deleted are only told of.\n\nA recording that was adopted is kept as long as its tenant keeps recordings: files of " +
			"long ago, such as those of another system, are too old at once.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			mode := orphans.Report
			switch {
			case repair && adopt, repair && quarantine, adopt && quarantine:
				return errors.New("each of the flags does what the one before does and more: give one of them")
			case repair:
				mode = orphans.Repair
			case adopt:
				mode = orphans.Adopt
			case quarantine:
				mode = orphans.Quarantine
			}
			return e.withDaemon(cmd.Context(), func(c *control.Client) error {
				var result orphans.Result
				if err := c.Do(cmd.Context(), "POST", "orphans", app.OrphanRequest{Mode: mode}, &result); err != nil {
					return err
				}
				return e.show(result, []string{"FOUND", "DONE", "TENANT", "FILE", "RECORDING", "BYTES", "DETAIL"}, orphanRows(result))
			})
		},
	}
	cmd.Flags().BoolVar(&repair, "repair", false, "put back renamed files, mark recordings whose file is gone")
	cmd.Flags().BoolVar(&adopt, "adopt", false, "the same, and make recordings of files named like ours")
	cmd.Flags().BoolVar(&quarantine, "quarantine", false, "the same, and move all others aside")
	return cmd
}

func orphanRows(r orphans.Result) [][]string {
	var rows [][]string
	for _, f := range r.Findings {
		rows = append(rows, []string{
			string(f.Verdict), cmp.Or(string(f.Done), "-"), f.Tenant, cmp.Or(f.Path, "-"), cmp.Or(f.Recording, "-"),
			strconv.FormatInt(f.Bytes, 10), f.Detail,
		})
	}
	if r.More > 0 {
		rows = append(rows, []string{"and " + strconv.Itoa(r.More) + " more", "", "", "", "", "", ""})
	}
	return rows
}
