package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"callrecordd/config"
	"callrecordd/internal/app"
	"callrecordd/internal/backup"
	"callrecordd/internal/control"
	"callrecordd/store"
)

func backupCmd(e *environment) *cobra.Command {
	var check bool
	req := app.BackupRequest{Version: e.version, Now: time.Now, NewUUID: uuid.NewString}
	cmd := &cobra.Command{
		Use:   "backup DIR",
		Short: "Copy database, recordings and configuration into a folder, also while the daemon runs",
		Long: "Copy database, recordings and configuration into a folder, also while the daemon runs. What an earlier backup " +
			"into the same folder has left is not copied again; one that was interrupted is gone on with. On the same file " +
			"system a recording gets a second name and costs no space, unless --copy is given: a backup that shall outlive the " +
			"disk belongs on another. The database has hashes of passwords and the secrets of webhooks, so nobody else may " +
			"read the folder.\n\nArchives of exports are not in it.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if req.Dir = args[0]; check {
				return e.checkBackup(cmd.Context(), req.Dir)
			}
			req.ConfigPath = e.configPath
			return e.makeBackup(cmd.Context(), req)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&check, "check", false, "read all of the backup that is in the folder, and say what is not as its manifest says")
	f.BoolVar(&req.Keys, "keys", false, "also keys, certificates and files of passwords")
	f.BoolVar(&req.Copy, "copy", false, "copy recordings also on the same file system, so that the backup does not share their fate")
	f.BoolVar(&req.Reread, "reread", false, "read also what an earlier backup has left and nobody has written to since")
	return cmd
}

// watched shows on a terminal how far it is.
func (e *environment) watched(run func(func(backup.Progress)) error) error {
	p := newProgress(e.err)
	defer p.end()
	return run(func(at backup.Progress) { p.show("%s: %d of %d", at.Part, at.Done, at.All) })
}

func (e *environment) makeBackup(ctx context.Context, req app.BackupRequest) error {
	var err error
	if req.Config, err = config.LoadWithoutPasswords(e.configPath); err != nil {
		return err
	}
	// Before the work is done: whether it can be noted afterwards.
	_, err = control.Connect(ctx, req.Config.State.Socket, actor())
	if errors.Is(err, control.ErrNoDaemon) {
		err = checkOwner(req.Config.State.Dir, os.Geteuid())
	}
	if err != nil {
		return err
	}
	var res backup.Result
	var note app.BackupNote
	err = e.watched(func(progress func(backup.Progress)) (err error) {
		req.Progress = progress
		res, note, err = app.MakeBackup(ctx, req)
		return err
	})
	if err != nil {
		return err
	}
	err = e.withClient(ctx, func(c *control.Client) error { return c.Do(ctx, "POST", "backups", note, nil) })
	if err != nil {
		return fmt.Errorf("the backup in %s is complete, but the event log could not be told: %w", res.Dir, err)
	}
	rows := [][]string{
		{"folder", res.Dir},
		{"database as of", res.MadeAt.Local().Format(time.DateTime)},
		{"files", fmt.Sprintf("%d, %s", res.Files, megabytes(res.Bytes))},
		{"new recordings", fmt.Sprintf("%d, %s", res.New, megabytes(res.NewBytes))},
		{"removed meanwhile", strconv.Itoa(res.Removed)},
		{"manifest", res.Manifest},
	}
	if err := e.show(res, []string{"BACKUP", ""}, append(rows, lackRows(res.Lacks)...)); err != nil {
		return err
	}
	if res.Missing+res.Differ > 0 {
		fmt.Fprintf(e.err, "The backup is complete, but the installation is not: %d recordings are missing and %d are not what the database says.\n",
			res.Missing, res.Differ)
		return errTold
	}
	return nil
}

func lackRows(list []backup.Lack) (rows [][]string) {
	for _, l := range list {
		rows = append(rows, []string{l.Path, l.Why})
	}
	return rows
}

func (e *environment) checkBackup(ctx context.Context, dir string) error {
	var rep backup.Report
	err := e.watched(func(progress func(backup.Progress)) (err error) {
		rep, err = backup.Check(ctx, dir, store.Files{}, progress)
		return err
	})
	if err != nil {
		return err
	}
	state := "all files are as its manifest says"
	if rep.Damaged > 0 {
		state = count(int64(rep.Damaged), "file") + " damaged or missing"
	}
	if rep.Interrupted {
		state += "; a later backup into the folder was interrupted or is running"
	}
	rows := [][]string{
		{"database as of", rep.MadeAt.Local().Format(time.DateTime)},
		{"files", fmt.Sprintf("%d, %s", rep.Files, megabytes(rep.Bytes))},
		{"manifest", rep.Manifest},
		{"state", state},
	}
	err = e.show(rep, []string{"BACKUP", ""}, append(rows, lackRows(rep.Problems)...))
	if err == nil && rep.Damaged > 0 {
		return errTold
	}
	return err
}

func restoreCmd(e *environment) *cobra.Command {
	req := app.RestoreRequest{Actor: actor(), Now: time.Now}
	cmd := &cobra.Command{
		Use:   "restore DIR",
		Short: "Bring a backup back",
		Long: "Bring a backup back: database, recordings, configuration and keys, each to its place. The daemon must not run. " +
			"The whole backup is checked before, and what was written after. Configuration and keys that are there and differ stay as " +
			"they are, and are named. Calls that were made since the backup are derived from Asterisk's journal by the next start.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Dir, req.ConfigPath = args[0], e.configPath
			return e.restore(cmd.Context(), req)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&req.DryRun, "dry-run", false, "check the backup and say what would be done")
	f.BoolVar(&req.Replace, "replace", false, "replace a database that is there; it is kept beside the new one, and so is all else that differs")
	f.BoolVar(&req.Partial, "partial", false, "go on although recordings of the backup are damaged, without those; the exit code is 1 then")
	f.BoolVar(&req.Link, "link", false, "on the same file system give recordings a second name, which costs no space")
	return cmd
}

// restoreConfig is that of the machine, or of the backup if there is none.
func (e *environment) restoreConfig(dir string) (config.Config, error) {
	if _, err := os.Stat(e.configPath); err == nil {
		return config.LoadWithoutPasswords(e.configPath)
	}
	path, err := backup.ConfigIn(dir)
	if err != nil {
		return config.Config{}, err
	}
	return config.LoadWithoutPasswords(path)
}

func (e *environment) restore(ctx context.Context, req app.RestoreRequest) error {
	var err error
	if req.Config, err = e.restoreConfig(req.Dir); err != nil {
		return err
	}
	var out app.RestoreAnswer
	err = e.watched(func(progress func(backup.Progress)) (err error) {
		req.Progress = progress
		out, err = app.Restore(ctx, req)
		return err
	})
	if err != nil {
		return err
	}
	did := "restored"
	if req.DryRun {
		did = "would be restored"
	}
	rows := [][]string{
		{"database as of", out.MadeAt.Local().Format(time.DateTime)},
		{did, fmt.Sprintf("%d files, %s", out.Files, megabytes(out.Bytes))},
		{"were there", strconv.Itoa(out.Same)},
		{"since then", ahead(out)},
	}
	for _, name := range out.Aside {
		rows = append(rows, []string{"kept aside", name})
	}
	for _, name := range out.Left {
		rows = append(rows, []string{"differs, left as it is", name})
	}
	for _, name := range out.Unnamed {
		rows = append(rows, []string{"not brought back: no setting here names it", name})
	}
	err = e.show(out, []string{"RESTORE", ""}, append(rows, lackRows(out.Problems)...))
	if err == nil && out.Damaged > 0 {
		left := "left out: the rest is restored"
		if req.DryRun {
			left = "would be left out: the rest would be restored"
		}
		fmt.Fprintf(e.err, "%s of the backup damaged or missing, and %s.\n", count(int64(out.Damaged), "recording"), left)
		return errTold
	}
	return err
}

// ahead says what the journal has that the restored database lacks.
func ahead(a app.RestoreAnswer) string {
	j := a.Ahead
	switch {
	case a.JournalFault != "":
		return "unknown: " + a.JournalFault
	case j.Other:
		return fmt.Sprintf("the journal is another than that of the backup: the next start derives the calls in its %d rows", j.Rows)
	case j.Short > 0:
		return fmt.Sprintf("the journal ends %d rows before what the backup has read of it", j.Short)
	case j.Rows == 0 && j.Lost == 0:
		return "nothing in the journal"
	}
	text := fmt.Sprintf("%d rows in the journal, %s to %s: the next start derives their calls",
		j.Rows, j.First.Local().Format(time.DateTime), j.Last.Local().Format(time.DateTime))
	if j.Lost > 0 {
		text += fmt.Sprintf("; %d older rows are deleted already, and their calls cannot be derived", j.Lost)
	}
	return text
}
