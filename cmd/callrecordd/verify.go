package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"callrecordd/config"
	"callrecordd/internal/app"
	"callrecordd/internal/ledger"
	"callrecordd/internal/verify"
	"callrecordd/store"
)

// verifyFlags are what a person names; what is empty comes from the
// configuration.
type verifyFlags struct{ db, root, anchor, key, export string }

func verifyCmd(e *environment) *cobra.Command {
	var v verifyFlags
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove that nothing was altered, removed or put in since it was recorded",
		Long: "Prove that nothing was altered, removed or put in since it was recorded: the ledger with its signed checkpoints " +
			"and anchors, CDRs, recordings and their files. It only reads, beside the daemon or from copies. " +
			"The exit code is 0 only if all fits; each thing that does not is named, with what it means.\n\n" +
			"Without --db, database, folder, anchor and key are those of the configuration. With it nothing else is needed " +
			"but the public key: --db COPY.db --key PUBLIC-KEY, and --root and --anchor if these are to be compared. " +
			"--export verifies an archive by the proofs in it. docs/ledger.md says what is proved, and what cannot be.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if v.export != "" && (v.db != "" || v.root != "" || v.anchor != "") {
				return errors.New("--export needs nothing but --key")
			}
			if v.db == "" && (v.export == "" || v.key == "") {
				if err := v.complete(e); err != nil {
					return err
				}
			}
			return e.verify(cmd.Context(), v)
		},
	}
	f := cmd.Flags()
	f.StringVar(&v.db, "db", "", "the database, or a copy of it")
	f.StringVar(&v.root, "root", "", "the folder of the recordings; with --db files are left out without it")
	f.StringVar(&v.anchor, "anchor", "", "the anchor file")
	f.StringVar(&v.key, "key", "", "the public key, or a file with it; callrecordd ledger key prints it")
	f.StringVar(&v.export, "export", "", "an archive to verify instead")
	return cmd
}

// complete takes what is not named from the configuration.
func (v *verifyFlags) complete(e *environment) error {
	cfg, err := config.LoadWithoutPasswords(e.configPath)
	if err != nil {
		return err
	}
	if v.key == "" {
		v.key = app.LedgerPublicKeyFile(cfg)
	}
	if v.export != "" {
		return nil
	}
	v.db = cfg.State.Database()
	if v.root == "" {
		v.root = cfg.Recordings.Root
	}
	if v.anchor == "" {
		v.anchor = cfg.Ledger.Anchor
	}
	return nil
}

// publicKey reads a key, or the file with it.
func publicKey(text string) (*ledger.Verifier, error) {
	if text == "" {
		return nil, errors.New("--key is missing: `callrecordd ledger key` prints the public key on the PBX")
	}
	if !strings.Contains(text, "+") {
		data, err := os.ReadFile(text)
		if err != nil {
			return nil, fmt.Errorf("public key of the ledger: %w; `callrecordd ledger key` prints it on the PBX, once the daemon has started there", err)
		}
		text = string(data)
	}
	return ledger.NewVerifier(text)
}

func (e *environment) verify(ctx context.Context, v verifyFlags) error {
	key, err := publicKey(v.key)
	if err != nil {
		return err
	}
	var r verify.Report
	if v.export != "" {
		r, err = verifyArchive(ctx, v.export, key)
	} else {
		r, err = e.verifyDatabase(ctx, v, key)
	}
	if err != nil {
		return err
	}
	if err := e.showVerified(r, v); err != nil {
		return err
	}
	if !r.Clean {
		return errTold
	}
	return nil
}

func verifyArchive(ctx context.Context, path string, key *ledger.Verifier) (r verify.Report, err error) {
	f, err := os.Open(path)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return r, err
	}
	return verify.Archive(ctx, f, info.Size(), key)
}

func (e *environment) verifyDatabase(ctx context.Context, v verifyFlags, key *ledger.Verifier) (r verify.Report, err error) {
	db, err := store.OpenReader(ctx, v.db)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var anchor io.Reader
	if v.anchor != "" {
		f, err := os.Open(v.anchor)
		if err != nil {
			return r, fmt.Errorf("anchor file: %w", err)
		}
		defer func() { _ = f.Close() }() // opened for reading
		anchor = f
	}
	p := newProgress(e.err)
	defer p.end()
	return verify.Run(ctx, db, verify.Options{Key: key, Anchor: anchor, Root: v.root, Progress: func(r verify.Report) {
		p.show("%d entries, %d recordings, %s", r.Entries, r.Recordings, megabytes(r.Bytes))
	}})
}

func (e *environment) showVerified(r verify.Report, v verifyFlags) error {
	rows := make([][]string, 0, len(r.Findings))
	for _, f := range r.Findings {
		rows = append(rows, []string{string(f.Kind), f.What, f.ID, f.Meaning, f.Do})
	}
	if e.format != "table" {
		return e.show(r, []string{"KIND", "WHAT", "ID", "MEANING", "DO"}, rows)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(e.out, "%s: %s.\n    %s.\n", f.Kind, f.Meaning, f.Do)
	}
	if r.More > 0 {
		fmt.Fprintf(e.out, "%d more findings are left out.\n", r.More)
	}
	word := "clean"
	if !r.Clean {
		word = count(int64(len(r.Findings))+r.More, "finding")
	}
	if v.export != "" {
		_, err := fmt.Fprintf(e.out, "%s: %d files, %s, %d proved by the ledger\n", word, r.Files, megabytes(r.Bytes), r.Entries)
		return err
	}
	fmt.Fprintf(e.out, "%s: %d entries of the ledger, %d checkpoints, %d anchors, %d CDRs, %d recordings, %d files (%s)\n",
		word, r.Entries, r.Checkpoints, r.Anchors, r.CDRs, r.Recordings, r.Files, megabytes(r.Bytes))
	if r.SinceCheckpoint > 0 {
		fmt.Fprintf(e.out, "%d entries are newer than the last checkpoint: only the chain covers them\n", r.SinceCheckpoint)
	}
	if r.UnprovedCDRs+r.UnprovedRecordings > 0 {
		fmt.Fprintf(e.out, "%d CDRs and %d recordings are of before the ledger: nothing proves them\n", r.UnprovedCDRs, r.UnprovedRecordings)
	}
	if v.root == "" {
		fmt.Fprintln(e.out, "no files were looked at: --root names their folder")
	}
	return nil
}

// count is a number of things, in words.
func count(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func ledgerCmd(e *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "ledger", Short: "The ledger that proves what was recorded (see also: verify)"}
	cmd.AddCommand(&cobra.Command{
		Use:   "key",
		Short: "Print the public key; keep it where nobody on this machine can change it",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := config.LoadWithoutPasswords(e.configPath)
			if err != nil {
				return err
			}
			data, err := os.ReadFile(app.LedgerPublicKeyFile(cfg))
			if err != nil {
				return fmt.Errorf("public key of the ledger: %w; the daemon writes it at its first start", err)
			}
			_, err = fmt.Fprint(e.out, string(data))
			return err
		},
	})
	return cmd
}
