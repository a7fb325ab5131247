// Command callrecord-bench measures what callrecordd costs and how fast it is,
// on private Asterisks with real calls: `make bench`. The figures are described
// in BENCHMARKS.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"callrecordd/internal/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "callrecord-bench: "+err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var opt bench.Options
	flags := flag.NewFlagSet("callrecord-bench", flag.ContinueOnError)
	flags.StringVar(&opt.Daemon, "daemon", "", "the callrecordd to measure (default: the one beside this program)")
	flags.BoolVar(&opt.Short, "short", false, "a smoke run: everything happens, the figures mean little")
	flags.BoolVar(&opt.Keep, "keep", false, "keep the folder with logs and databases")
	only := flags.String("only", "", "groups to measure, by commas:\n"+strings.Join(bench.Names(), "\n"))
	out := flags.String("json", "", "write the report there, too")
	markdown := flags.Bool("markdown", false, "print the table for BENCHMARKS.md, too")
	spare := flags.String("spare", "", "instead: what Asterisk saves if it need not build these types of Stasis messages, by commas, or all that may help")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	opt.Progress = os.Stderr
	if *only != "" {
		opt.Only = strings.Split(*only, ",")
	}
	if opt.Daemon == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find the daemon: %w", err)
		}
		opt.Daemon = filepath.Join(filepath.Dir(self), "callrecordd")
	}
	var report bench.Report
	var failure error
	switch *spare {
	case "":
		report, failure = bench.Run(ctx, opt)
	case "all":
		report, failure = bench.Spare(ctx, opt, nil)
	default:
		report, failure = bench.Spare(ctx, opt, strings.Split(*spare, ","))
	}
	return errors.Join(failure, show(report, *markdown, *out))
}

func show(r bench.Report, markdown bool, file string) error {
	if r.Date.IsZero() {
		return nil // nothing was begun
	}
	if err := r.Text(os.Stdout); err != nil {
		return err
	}
	if markdown {
		if err := r.Markdown(os.Stdout); err != nil {
			return fmt.Errorf("print the table: %w", err)
		}
	}
	if file == "" {
		return nil
	}
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return errors.Join(r.JSON(f), f.Close())
}
