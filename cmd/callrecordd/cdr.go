package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"callrecordd/internal/app"
	"callrecordd/internal/control"
	"callrecordd/internal/history"
)

func cdrCmd(e *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "cdr", Short: "Calls that are over: list, keep, bring in and take out"}
	cmd.AddCommand(cdrList(e), cdrShow(e), cdrWhy(e), cdrExport(e), cdrImport(e), cdrHold(e), cdrRelease(e))
	return cmd
}

// cdrQuery are the flags of list and export.
type cdrQuery struct{ tenant, from, until, search string }

func (q *cdrQuery) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&q.tenant, "tenant", "", "name or uuid of a tenant (default: all)")
	f.StringVar(&q.from, "from", "", "calls that began then or later")
	f.StringVar(&q.until, "until", "", "calls that began before")
	f.StringVar(&q.search, "search", "", "a part of a name or a number")
}

func (q *cdrQuery) values(ctx context.Context, c *control.Client) (url.Values, error) {
	v := url.Values{}
	if q.tenant != "" {
		tenant, err := findTenant(ctx, c, q.tenant)
		if err != nil {
			return nil, err
		}
		v.Set("tenant", tenant)
	}
	from, until, err := period(q.from, q.until)
	if err != nil {
		return nil, err
	}
	if !from.IsZero() {
		v.Set("from", from.Format(time.RFC3339))
	}
	if !until.IsZero() {
		v.Set("until", until.Format(time.RFC3339))
	}
	if q.search != "" {
		v.Set("search", q.search)
	}
	return v, nil
}

func cdrRows(items []history.Item) [][]string {
	var rows [][]string
	for _, it := range items {
		lasted := "-"
		if !it.Answer.IsZero() && !it.End.IsZero() {
			lasted = max(0, it.End.Sub(it.Answer.Time)).Truncate(time.Second).String()
		}
		kept := 0
		for _, r := range it.Recordings {
			if !r.Deleted {
				kept++
			}
		}
		rows = append(rows, []string{
			strconv.FormatInt(it.ID, 10), it.Start.Local().Format("2006-01-02 15:04:05"),
			cmp.Or(string(it.SourceName), "-"), cmp.Or(string(it.SourceExtension), "-"),
			cmp.Or(string(it.DestinationName), "-"), cmp.Or(string(it.DestinationExtension), "-"),
			cmp.Or(string(it.CallDirection), "-"), string(it.CallStatus), lasted, strconv.Itoa(kept),
		})
	}
	return rows
}

func cdrHeader() []string {
	return []string{"CDR", "START", "FROM", "NUMBER", "TO", "NUMBER", "DIRECTION", "STATUS", "LASTED", "RECORDINGS"}
}

func cdrList(e *environment) *cobra.Command {
	var q cdrQuery
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List calls, the newest first; -o csv and -o json for programs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				v, err := q.values(cmd.Context(), c)
				if err != nil {
					return err
				}
				v.Set("limit", strconv.Itoa(limit))
				var page app.CDRPage
				if err := c.Do(cmd.Context(), "GET", "cdrs?"+v.Encode(), nil, &page); err != nil {
					return err
				}
				if err := e.show(page, cdrHeader(), cdrRows(page.Items)); err != nil {
					return err
				}
				if more := page.Filtered - len(page.Items); e.format == "table" && more > 0 {
					fmt.Fprintf(e.err, "%d more: --limit, --until, or callrecordd cdr export\n", more)
				}
				return nil
			})
		},
	}
	q.flags(cmd)
	cmd.Flags().IntVar(&limit, "limit", 50, "how many, up to 1000")
	return cmd
}

func cdrShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show all about a call",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				var it history.Item
				if err := c.Do(cmd.Context(), "GET", control.Path("cdrs", args[0]), nil, &it); err != nil {
					return err
				}
				rows := [][]string{
					{"cdr", strconv.FormatInt(it.ID, 10)}, {"tenant", string(it.TenantUUID)}, {"conversation", string(it.ConversationID)},
				}
				for i, name := range []string{"", "start", "from", "number", "to", "number", "direction", "status", "lasted"} {
					if i > 0 {
						rows = append(rows, []string{name, cdrRows([]history.Item{it})[0][i]})
					}
				}
				for _, p := range it.Participants {
					rows = append(rows, []string{p.Role, p.UserUUID})
				}
				for _, r := range it.Recordings {
					rows = append(rows, []string{"recording", r.UUID + " " + string(r.State) + " " + r.Path})
				}
				return e.show(it, []string{"WHAT", "VALUE"}, rows)
			})
		},
	}
}

func cdrExport(e *environment) *cobra.Command {
	var q cdrQuery
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write calls as JSON Lines, the oldest first; cdr import reads them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				v, err := q.values(cmd.Context(), c)
				if err != nil {
					return err
				}
				v.Set("limit", "1000")
				v.Set("ascending", "true")
				out := bufio.NewWriter(e.out)
				for enc := json.NewEncoder(out); ; {
					var page app.CDRPage
					if err := c.Do(cmd.Context(), "GET", "cdrs?"+v.Encode(), nil, &page); err != nil {
						return err
					}
					for _, it := range page.Items {
						if err := enc.Encode(it); err != nil {
							return err
						}
					}
					if page.Next == "" {
						return out.Flush()
					}
					v.Set("after", page.Next)
				}
			})
		},
	}
	q.flags(cmd)
	return cmd
}

const (
	// importItems and importBytes bound one request of an import.
	importItems = 2000
	importBytes = 4 << 20
	// importShown is how many refusals are printed.
	importShown = 100
)

func cdrImport(e *environment) *cobra.Command {
	var tenant, zone string
	var create bool
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Bring in calls: JSON Lines of cdr export, or Asterisk's Master.csv",
		Long: "Bring in calls from JSON Lines (items as GET /cdr gives them, one on a line, with participants and the path of each " +
			"recording's file if there are any) or from Asterisk's Master.csv.\n\n" +
			"Ids and tenants that are named are kept. What is there already is not stored again, so an import that was interrupted " +
			"is finished by running it again. Files of recordings are copied to their place. The exit code is 1 if anything was refused.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			loc, err := time.LoadLocation(cmp.Or(zone, "Local"))
			if err != nil {
				return fmt.Errorf("--timezone: %w", err)
			}
			in := e.in
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("import: %w", err)
				}
				defer func() { _ = f.Close() }() // opened for reading
				in = f
			}
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				im := importer{e: e, c: c, ctx: cmd.Context(), progress: newProgress(e.err)}
				if tenant != "" {
					if im.request.Tenant, err = findTenant(im.ctx, c, tenant); err != nil {
						return err
					}
				}
				im.request.CreateTenants = create
				return im.run(in, loc)
			})
		},
	}
	cmd.Flags().StringVar(&tenant, "tenant", "", "name or uuid of the tenant of calls that name none")
	cmd.Flags().BoolVar(&create, "create-tenants", false, "create tenants that are named and not there")
	cmd.Flags().StringVar(&zone, "timezone", "", "zone of the times in Master.csv, such as Europe/Paris or UTC (default: that of this machine)")
	return cmd
}

// importer sends items in pieces. It carries its context because it lives
// exactly as long as one command.
type importer struct {
	e        *environment
	c        *control.Client
	ctx      context.Context
	progress *progress
	// request is what is gathered for the daemon, sent the one that it works on
	// meanwhile, nil if there is none. One at a time: of two calls with one id
	// the first of the file counts.
	request encodedImport
	bytes   int
	sent    chan importSent
	sum     app.ImportAnswer
	refused int
}

// encodedImport is an app.ImportRequest whose items are encoded already.
type encodedImport struct {
	Items         []json.RawMessage `json:"items"`
	Tenant        string            `json:"tenant,omitempty"`
	CreateTenants bool              `json:"create_tenants,omitempty"`
}

type importSent struct {
	answer app.ImportAnswer
	err    error
}

func (im *importer) run(in io.Reader, zone *time.Location) error {
	err := history.Read(in, zone, im.add, func(r history.Refusal) error { im.refuse(r); return nil })
	if err == nil {
		err = im.send()
	}
	err = errors.Join(err, im.await())
	im.progress.end()
	if err != nil {
		return fmt.Errorf("import, after %d calls: %w; run it again to go on", im.sum.Imported+im.sum.Known, err)
	}
	if im.refused > importShown {
		fmt.Fprintf(im.e.err, "… and %d more\n", im.refused-importShown)
	}
	err = im.e.show(im.sum, []string{"IMPORTED", "KNOWN", "REFUSED"}, [][]string{{
		strconv.Itoa(im.sum.Imported), strconv.Itoa(im.sum.Known), strconv.Itoa(im.refused),
	}})
	if err == nil && im.refused > 0 {
		return errTold
	}
	return err
}

func (im *importer) refuse(r history.Refusal) {
	if im.refused++; im.refused <= importShown {
		im.progress.end()
		fmt.Fprintf(im.e.err, "line %d: %s\n", r.Line, r.Reason)
		im.sum.Refused = append(im.sum.Refused, r)
	}
}

func (im *importer) add(it history.Item) error {
	data, err := json.Marshal(it)
	if err != nil {
		im.refuse(history.Refusal{Line: it.Line, Reason: err.Error()})
		return nil
	}
	if len(im.request.Items) == importItems || im.bytes+len(data) > importBytes {
		if err := im.send(); err != nil {
			return err
		}
	}
	im.request.Items = append(im.request.Items, data)
	im.bytes += len(data)
	return nil
}

// send hands what is gathered to the daemon once that has done what it got
// before, and does not wait for it.
func (im *importer) send() error {
	if err := im.await(); err != nil || len(im.request.Items) == 0 {
		return err
	}
	req, sent := im.request, make(chan importSent, 1)
	im.request.Items, im.bytes, im.sent = nil, 0, sent
	go func() {
		var s importSent
		s.err = im.c.Do(im.ctx, "POST", "cdrs", req, &s.answer)
		sent <- s
	}()
	return nil
}

// await takes the daemon's answer to what it works on, if there is any.
func (im *importer) await() error {
	if im.sent == nil {
		return nil
	}
	s := <-im.sent
	im.sent = nil
	if s.err != nil {
		return s.err
	}
	im.sum.Imported += s.answer.Imported
	im.sum.Known += s.answer.Known
	for _, r := range s.answer.Refused {
		im.refuse(r)
	}
	im.progress.show("%d calls imported, %d known, %d refused", im.sum.Imported, im.sum.Known, im.refused)
	return nil
}

func cdrHold(e *environment) *cobra.Command {
	var req app.HoldRequest
	cmd := &cobra.Command{
		Use:   "hold ID",
		Short: "Put a call under legal hold: neither it nor its recordings can be removed",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				return c.Do(cmd.Context(), "PUT", control.Path("holds", args[0]), req, nil)
			})
		},
	}
	cmd.Flags().StringVar(&req.Reason, "reason", "", "why, for whoever wants to remove it")
	return cmd
}

func cdrRelease(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "release ID",
		Short: "End a legal hold",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				return c.Do(cmd.Context(), "DELETE", control.Path("holds", args[0]), nil, nil)
			})
		},
	}
}
