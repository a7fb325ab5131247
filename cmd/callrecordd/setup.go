package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"callrecordd/config"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/internal/setup"
)

// setupFlags are the flags of `callrecordd setup`.
type setupFlags struct {
	dryRun, write, undo, force, lean, reload  bool
	scope, dir, backups, code, console, https string
	contexts                                  []string
}

func setupCmd(e *environment) *cobra.Command {
	var f setupFlags
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Put into Asterisk's configuration what callrecordd needs, after a look at it",
		Long: "Shows as a diff what has to be added to Asterisk's configuration, and with --write adds it. What is ours goes into\n" +
			"files of its own in " + setup.Folder + "; your files get one line that includes them. Run `callrecordd check` afterwards.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.undo {
				return e.undoSetup(f)
			}
			return e.setup(cmd.Context(), f)
		},
	}
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only show what would be written (the default)")
	cmd.Flags().BoolVar(&f.write, "write", false, "write it, after a backup of every file that is touched")
	cmd.Flags().BoolVar(&f.undo, "undo", false, "put back what was there before the first --write")
	cmd.Flags().BoolVar(&f.force, "force", false, "with --undo: drop what was changed in those files since")
	cmd.Flags().BoolVar(&f.reload, "reload", false, "with --write: have the running Asterisk read the new configuration")
	cmd.Flags().BoolVar(&f.lean, "lean", false, "keep Asterisk from building events that callrecordd does not need; nobody else gets them either")
	cmd.Flags().StringVar(&f.scope, "scope", "all", "who has the key for recording: all calls, or the users of the directory (all, users)")
	cmd.Flags().StringVar(&f.code, "toggle-code", "*3", "the keys that start and pause a recording during a call")
	cmd.Flags().StringSliceVar(&f.contexts, "context", nil, "contexts in which users dial, beside those of the directory: they get *26")
	cmd.Flags().StringVar(&f.dir, "asterisk-dir", "/etc/asterisk", "Asterisk's configuration directory")
	cmd.Flags().StringVar(&f.backups, "backup-dir", "/var/backups/callrecordd", "where backups are kept")
	cmd.Flags().StringVar(&f.console, "console", "asterisk -rx", "how to give Asterisk's console a command")
	cmd.Flags().StringVar(&f.https, "https", ":443", "where the API is served with HTTPS, by a certificate that setup makes, if there is none yet; none for nowhere")
	cmd.MarkFlagsMutuallyExclusive("dry-run", "write", "undo")
	return cmd
}

func (e *environment) undoSetup(f setupFlags) error {
	paths, err := setup.Undo(f.dir, f.backups, f.force)
	if err != nil {
		return err
	}
	for _, p := range paths {
		fmt.Fprintln(e.out, "restored", p)
	}
	fmt.Fprintln(e.out, "The journal and the recordings stay. Restart Asterisk.")
	return nil
}

func (e *environment) setup(ctx context.Context, f setupFlags) error {
	if f.scope != "all" && f.scope != "users" {
		return fmt.Errorf("--scope %q is neither all nor users", f.scope)
	}
	files, err := setup.ReadTree(f.dir)
	if err != nil {
		return err
	}
	d, err := readDaemon(e.configPath)
	if err != nil {
		return err
	}
	users, err := e.users(ctx, d.cfg.State)
	if err != nil && f.scope == "users" {
		return err
	}
	if err != nil { // contexts can be given by hand
		fmt.Fprintln(e.err, "The contexts of users are not known:", err)
	}
	note, err := d.prepareHTTPS(f.https)
	if err != nil {
		return err
	}
	o := d.options(f)
	o.Contexts, o.Endpoints = places(users, f.contexts)
	plan := setup.Make(files, o)
	journal := filepath.Join(setup.LogDir(files), "master.db")
	own, err := d.edits(plan, journal)
	if err != nil {
		return err
	}
	edits := append(slices.Clone(plan.Edits), own...)
	if note != nil {
		plan.Notes = append(plan.Notes, *note)
	}
	wrong, err := setup.InspectJournal(journal)
	if err != nil {
		return err
	}
	if wrong != nil {
		plan.Conflicts = append(plan.Conflicts, *wrong)
	}

	fmt.Fprint(e.out, setup.Diff(edits))
	for _, n := range plan.Notes {
		fmt.Fprintln(e.out, "note:", n)
	}
	for _, c := range plan.Conflicts {
		fmt.Fprintln(e.out, "conflict:", c)
	}
	switch {
	case len(plan.Conflicts) > 0:
		return errors.New("nothing was written: resolve the conflicts first")
	case !f.write:
		if len(edits) > 0 {
			fmt.Fprintln(e.out, "Nothing was written. Run again with --write.")
		} else {
			fmt.Fprintln(e.out, "Nothing is to be changed.")
		}
		return nil
	}
	return e.writeSetup(ctx, f, d, files, edits)
}

// writeSetup writes what was shown, and what Asterisk and daemon need on disk.
func (e *environment) writeSetup(ctx context.Context, f setupFlags, d daemonFiles, files map[string]string, edits []setup.Edit) error {
	if len(edits) > 0 {
		folder, err := setup.Apply(f.dir, f.backups, edits, time.Now())
		if err != nil {
			return err
		}
		fmt.Fprintln(e.out, "Written. The backup is in", folder)
	} else {
		fmt.Fprintln(e.out, "Nothing is to be changed.")
	}
	logs := setup.LogDir(files)
	made, wrong, err := setup.MakeJournal(filepath.Join(logs, "master.db"))
	if err != nil {
		return err
	}
	if wrong != nil {
		return fmt.Errorf("the journal cannot be used: %s", wrong)
	}
	if made {
		fmt.Fprintln(e.out, "created", filepath.Join(logs, "master.db"))
	}
	if made, err = setup.MakeRoot(d.cfg.Recordings.Root, logs); err != nil {
		return err
	}
	if made {
		fmt.Fprintln(e.out, "created", d.cfg.Recordings.Root)
	}
	return e.reloadAsterisk(ctx, f, edits)
}

func (e *environment) reloadAsterisk(ctx context.Context, f setupFlags, edits []setup.Edit) error {
	commands, restart := setup.Steps(edits)
	if restart {
		fmt.Fprintln(e.out, "Asterisk has to be restarted: modules.conf and stasis.conf are read at its start only.")
	}
	console := strings.Fields(f.console)
	for _, c := range commands {
		if !f.reload || len(console) == 0 {
			fmt.Fprintf(e.out, "to do: %s %q\n", f.console, c)
			continue
		}
		out, err := exec.CommandContext(ctx, console[0], append(slices.Clone(console[1:]), c)...).CombinedOutput()
		switch {
		case err != nil:
			return fmt.Errorf("asterisk, %s: %w: %s", c, err, strings.TrimSpace(string(out)))
		case strings.HasPrefix(c, "module load") && !strings.Contains(string(out), "Loaded"):
			fmt.Fprintln(e.out, "Asterisk has to be restarted, as it runs a module with the old configuration:", strings.TrimSpace(string(out)))
		default:
			fmt.Fprintln(e.out, "done:", c)
		}
	}
	return nil
}

// daemonFiles are the daemon's own configuration and its passwords.
type daemonFiles struct {
	path string
	text *string // nil if there is no file yet
	cfg  config.Config
	// secrets are the passwords that are set already, and the files for those
	// that are not.
	secrets     map[string]string
	secretFiles map[string]*string // contents, nil if there is none
	// https is where HTTPS is to be served with a new certificate, empty if
	// that is settled already.
	https string
}

var secretKeys = [...]string{"ari_password", "ami_password"}

func readDaemon(path string) (daemonFiles, error) {
	d := daemonFiles{path: path, cfg: config.Default(), secrets: map[string]string{}, secretFiles: map[string]*string{}}
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return d, fmt.Errorf("read the daemon's configuration: %w", err)
	default:
		text := string(data)
		d.text = &text
		if d.cfg, err = config.LoadWithoutPasswords(path); err != nil {
			return d, err
		}
	}
	a := d.cfg.Asterisk
	for i, inline := range []config.Secret{a.ARIPassword, a.AMIPassword} {
		key := secretKeys[i]
		if inline != "" {
			d.secrets[key] = inline.Reveal()
			continue
		}
		data, err := os.ReadFile(d.secretPath(key))
		if err == nil {
			text := string(data)
			d.secretFiles[key], d.secrets[key] = &text, strings.TrimRight(text, "\r\n")
		} else if !errors.Is(err, os.ErrNotExist) {
			return d, fmt.Errorf("read a password: %w", err)
		}
		if d.secrets[key] == "" {
			d.secrets[key] = rand.Text()
		}
	}
	return d, nil
}

// secretPath is the file of a password: the one that is configured, or one
// beside the configuration.
func (d daemonFiles) secretPath(key string) string {
	configured := map[string]string{"ari_password": d.cfg.Asterisk.ARIPasswordFile, "ami_password": d.cfg.Asterisk.AMIPasswordFile}[key]
	if configured != "" {
		return configured
	}
	return filepath.Join(filepath.Dir(d.path), key)
}

func (d daemonFiles) options(f setupFlags) setup.Options {
	o := setup.Options{
		ARIUser: d.cfg.Asterisk.ARIUser, ARIPassword: d.secrets["ari_password"],
		AMIUser: d.cfg.Asterisk.AMIUser, AMIPassword: d.secrets["ami_password"],
		ToggleCode: f.code, UsersOnly: f.scope == "users", Lean: f.lean,
		FeaturesFile: filepath.Join(d.cfg.State.Dir, "asterisk", "callrecord-features.conf"),
	}
	if u, err := url.Parse(d.cfg.Asterisk.ARIURL); err == nil {
		o.HTTPPort, _ = strconv.Atoi(u.Port())
	}
	if _, port, err := net.SplitHostPort(d.cfg.Asterisk.AMIAddress); err == nil {
		o.AMIPort, _ = strconv.Atoi(port)
	}
	return o
}

// edits are those of the daemon's own configuration, which follows Asterisk's.
func (d daemonFiles) edits(plan setup.Plan, journal string) ([]setup.Edit, error) {
	var out []setup.Edit
	a := d.cfg.Asterisk
	values := map[string]string{}
	if want := "http://" + plan.HTTPAddress + plan.HTTPPrefix; strings.TrimSuffix(a.ARIURL, "/") != want && !strings.HasPrefix(a.ARIURL, "https:") {
		values["ari_url"] = want
	}
	if a.AMIAddress != plan.AMIAddress {
		values["ami_address"] = plan.AMIAddress
	}
	if a.Journal != journal {
		values["journal"] = journal
	}
	for i, inline := range []config.Secret{a.ARIPassword, a.AMIPassword} {
		key, password := secretKeys[i], []string{plan.ARIPassword, plan.AMIPassword}[i]
		if inline.Reveal() == password {
			continue
		}
		path := d.secretPath(key)
		values[key], values[key+"_file"] = "", path
		text := password + "\n"
		if before := d.secretFiles[key]; before == nil || strings.TrimRight(*before, "\r\n") != password {
			out = append(out, setup.Edit{Path: path, Before: before, After: text, Secret: true, Like: "manager.conf"})
		}
	}
	text := config.Sample()
	if d.text != nil {
		text = *d.text
	}
	made, keys, err := d.certificate()
	if err != nil {
		return nil, err
	}
	out = append(out, made...)
	after := config.SetKeys(text, "asterisk", values)
	if len(keys) > 0 {
		after = config.SetKeys(after, "http", keys)
	}
	if d.text == nil || after != text {
		out = append(out, setup.Edit{Path: d.path, Before: d.text, After: after, Like: "manager.conf"})
	}
	return out, nil
}

// users are those of the directory, none before there is one.
func (e *environment) users(ctx context.Context, state config.State) ([]directory.User, error) {
	if _, err := os.Stat(state.Database()); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var users []directory.User
	err := e.withClient(ctx, func(c *control.Client) error { return c.Do(ctx, "GET", "users", nil, &users) })
	return users, err
}

// places are the contexts in which users dial and their PJSIP endpoints.
func places(users []directory.User, more []string) (contexts, endpoints []string) {
	contexts = slices.Clone(more)
	for _, u := range users {
		for _, l := range u.Lines {
			if name, ok := strings.CutPrefix(l.Endpoint, "PJSIP/"); ok {
				endpoints = append(endpoints, name)
			}
			if l.Context != "" {
				contexts = append(contexts, l.Context)
			}
		}
	}
	slices.Sort(contexts)
	slices.Sort(endpoints)
	return slices.Compact(contexts), slices.Compact(endpoints)
}
