package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"callrecordd/internal/app"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/internal/replay"
)

func rulesCmd(e *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "rules", Short: "What the rules would have made of the calls there were"}
	cmd.AddCommand(rulesReplay(e))
	return cmd
}

// maxSettings bounds the file of --with.
const maxSettings = 4 << 20

const rulesReplayLong = `Make the decisions of a time again, under other settings, and list the calls that would differ: those that would be recorded and were not, those that would not be and were, those whose recording would have another reason, and each press of *3 that would be refused or allowed.

Without --with the settings are those in force now: the rules of whoever has the telephone now, of the queue and the group that led there if they still exist, and of the trunks. With --with only what the file names is different; all else is as it was at the decision.

The file is YAML or JSON. Entries go by uuid, or by any word that the other commands take (name, extension, endpoint); "*" is all that are not named:

  users:
    "*":    {incoming_external: true}
    alice:  {outgoing_internal: false, outgoing_external: true, on_demand: true}
  groups:
    sales:  {auto_record: inherit, on_demand: false}
  queues:
    support: {auto_record: always, on_demand: true}
  trunks:
    provider: {auto_record: never}

Users have outgoing_internal, outgoing_external, incoming_internal, incoming_external and on_demand (true or false), groups and queues auto_record (always, never or inherit) and on_demand, trunks auto_record. What an entry leaves out stays as it was.

Nothing is changed. The exit code is 0 if no call would differ, and 1 if some would.`

func rulesReplay(e *environment) *cobra.Command {
	var since, until, tenant, with string
	cmd := &cobra.Command{
		Use:   "replay --since TIME",
		Short: "List the calls that would have been recorded otherwise under other settings",
		Long:  rulesReplayLong,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			req, err := replayPeriod(since, until)
			if err != nil {
				return err
			}
			settings, err := readSettings(e.in, with)
			if err != nil {
				return err
			}
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				if tenant != "" {
					if req.Tenant, err = findTenant(cmd.Context(), c, tenant); err != nil {
						return err
					}
				}
				if settings != nil {
					if *settings, err = settings.Resolve(finders(cmd.Context(), c)); err != nil {
						return fmt.Errorf("--with %s: %w", with, err)
					}
					req.With = settings
				}
				return e.replay(cmd.Context(), c, req)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&since, "since", "", "decisions of this time or later")
	f.StringVar(&until, "until", "", "decisions before this time (default: now)")
	f.StringVar(&tenant, "tenant", "", "name or uuid of a tenant: decisions about its users and trunks (default: all)")
	f.StringVar(&with, "with", "", "file with other settings, - for standard input (default: the settings in force now)")
	return cmd
}

func replayPeriod(since, until string) (req app.ReplayRequest, err error) {
	if req.Since, err = readTime(since); err != nil {
		return req, fmt.Errorf("--since: %w", err)
	}
	req.Until = time.Now()
	if until != "" {
		if req.Until, err = readTime(until); err != nil {
			return req, fmt.Errorf("--until: %w", err)
		}
	}
	if !req.Since.Before(req.Until) {
		return req, fmt.Errorf("nothing lies between --since %s and --until %s", req.Since.Format(time.RFC3339), req.Until.Format(time.RFC3339))
	}
	return req, nil
}

// readSettings reads the file of --with, nil if there is none.
func readSettings(in io.Reader, path string) (*replay.Settings, error) {
	if path == "" {
		return nil, nil
	}
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("--with: %w", err)
		}
		defer func() { _ = f.Close() }() // opened for reading
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxSettings+1))
	if err == nil && len(data) > maxSettings {
		err = fmt.Errorf("it has more than %d bytes", maxSettings)
	}
	if err != nil {
		return nil, fmt.Errorf("--with %s: %w", path, err)
	}
	s, err := replay.Read(data)
	if err != nil {
		return nil, fmt.Errorf("--with %s: %w", path, err)
	}
	return &s, nil
}

// finders take the words that the other commands take, and the uuid of what is
// not there any more: calls of its time are.
func finders(ctx context.Context, c *control.Client) replay.Finders {
	return replay.Finders{
		User:  finder(ctx, c, userNoun(), func(u directory.User) string { return u.UUID }),
		Group: finder(ctx, c, groupNoun(), func(g directory.Group) string { return g.UUID }),
		Queue: finder(ctx, c, queueNoun(), func(q directory.Queue) string { return q.UUID }),
		Trunk: finder(ctx, c, trunkNoun(), func(t directory.Trunk) string { return t.Endpoint }),
	}
}

func finder[T any](ctx context.Context, c *control.Client, n noun[T], key func(T) string) func(string) (string, error) {
	return func(word string) (string, error) {
		v, err := n.find(ctx, c, word)
		if err != nil {
			if id, wrong := uuid.Parse(word); wrong == nil && n.name != "trunk" {
				return id.String(), nil
			}
			return "", err
		}
		return key(v), nil
	}
}

// replaySum is what a replay comes to.
type replaySum struct {
	Decisions  int `json:"decisions"`
	Calls      int `json:"calls"`
	Unreadable int `json:"unreadable"`
}

// replay asks for part after part and prints each as it comes.
func (e *environment) replay(ctx context.Context, c *control.Client, req app.ReplayRequest) error {
	out := replayPrinter{e: e, csv: csv.NewWriter(e.out)}
	if err := out.begin(); err != nil {
		return err
	}
	sum, calls := replaySum{}, map[string]bool{}
	for {
		var page app.ReplayPage
		if err := c.Do(ctx, "POST", "replay", req, &page); err != nil {
			return fmt.Errorf("replay, after %d decisions: %w", sum.Decisions, err)
		}
		sum.Decisions += page.Decisions
		sum.Unreadable += page.Unreadable
		for _, d := range page.Differences {
			calls[callKey(d)] = true
			if err := out.print(d); err != nil {
				return err
			}
		}
		if req.After = page.Next; page.Next == "" {
			break
		}
	}
	sum.Calls = len(calls)
	if err := out.end(sum); err != nil {
		return err
	}
	if sum.Calls > 0 {
		return errTold
	}
	return nil
}

// callKey is a call by its CDR, which it has once it is over.
func callKey(d replay.Difference) string {
	if d.CDRID != 0 {
		return strconv.FormatInt(d.CDRID, 10)
	}
	return d.Call
}

// replayPrinter prints differences one by one: nobody has all of them at once.
type replayPrinter struct {
	e    *environment
	csv  *csv.Writer
	rows int
}

func (p *replayPrinter) begin() error {
	switch p.e.format {
	case "json":
		_, err := fmt.Fprint(p.e.out, `{"differences":[`)
		return err
	case "csv":
		return p.csv.Write([]string{"CDR", "TIME", "EFFECT", "HOW"})
	}
	return nil
}

func (p *replayPrinter) print(d replay.Difference) error {
	p.rows++
	if p.e.format == "json" {
		data, err := json.Marshal(d)
		if p.rows > 1 {
			fmt.Fprint(p.e.out, ",")
		}
		fmt.Fprintf(p.e.out, "\n%s", data)
		return err
	}
	cdr := "-"
	if d.CDRID != 0 {
		cdr = strconv.FormatInt(d.CDRID, 10)
	}
	var how []string
	for _, c := range d.Parties {
		how = append(how, fmt.Sprintf("%s: %s → %s", c.Name, c.Was, c.Would))
	}
	row := []string{cdr, d.At.Local().Format("2006-01-02 15:04:05"), effectText(d.Effect), strings.Join(how, "; ")}
	if p.e.format == "csv" {
		return p.csv.Write(row)
	}
	if p.rows == 1 {
		fmt.Fprintf(p.e.out, "%-8s  %-19s  %-24s  %s\n", "CDR", "TIME", "EFFECT", "HOW")
	}
	_, err := fmt.Fprintf(p.e.out, "%-8s  %-19s  %-24s  %s\n", row[0], row[1], row[2], row[3])
	return err
}

// end prints the sum; with -o csv not among the rows.
func (p *replayPrinter) end(sum replaySum) error {
	if p.e.format == "json" {
		data, err := json.Marshal(sum)
		fmt.Fprintf(p.e.out, "],\n%s\n", strings.TrimPrefix(string(data), "{"))
		return err
	}
	text := fmt.Sprintf("%d decisions, %d calls would differ", sum.Decisions, sum.Calls)
	if sum.Unreadable > 0 {
		text += fmt.Sprintf("; %d decisions cannot be read", sum.Unreadable)
	}
	if p.e.format == "csv" {
		p.csv.Flush()
		fmt.Fprintln(p.e.err, text)
		return p.csv.Error()
	}
	_, err := fmt.Fprintln(p.e.out, text)
	return err
}

func effectText(e replay.Effect) string {
	switch e {
	case replay.WouldAllow:
		return "*3 would be allowed"
	case replay.WouldRefuse:
		return "*3 would be refused"
	case replay.OtherReason:
		return "for another reason"
	case replay.WouldRecord, replay.WouldNotRecord:
	}
	return strings.ReplaceAll(string(e), "_", " ")
}
