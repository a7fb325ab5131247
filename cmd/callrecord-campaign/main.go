// Command callrecord-campaign is the fault campaign: `make campaign`. It places
// real calls while it breaks what records them, and compares what the
// telephones have sent with CDRs, files and audit. docs/campaign.md describes it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"callrecordd/internal/campaign"
)

// errFailed is told by the report.
var errFailed = errors.New("the campaign has failed")

func main() {
	inside, err := campaign.Enter(os.Args[1:], os.Stdout, os.Stderr)
	if _, ok := errors.AsType[*exec.ExitError](err); ok && !inside { // it has said why
		os.Exit(1)
	}
	if inside && err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = run(ctx, os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "callrecord-campaign: "+err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	opt := campaign.Options{Progress: os.Stderr}
	flags := flag.NewFlagSet("callrecord-campaign", flag.ContinueOnError)
	minutes := flags.Float64("minutes", 10, "for how long calls are placed")
	flags.Float64Var(&opt.Rate, "rate", 5.5, "calls a second")
	flags.IntVar(&opt.Rounds, "rounds", 0, "how often each fault happens (default: once in two minutes)")
	flags.Uint64Var(&opt.Seed, "seed", rand.Uint64(), "draws calls and faults")
	flags.StringVar(&opt.Binary, "daemon", "", "the callrecordd to try (default: the one beside this program)")
	flags.StringVar(&opt.Out, "out", "", "folder of the report (default: campaign-TIME beside this program)")
	flags.BoolVar(&opt.Keep, "keep", false, "keep logs, database and recordings also if all is well")
	only := flags.String("faults", "", "the faults that happen, by commas, or none (default: all)")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	opt.Time = time.Duration(*minutes * float64(time.Minute))
	if opt.Rounds <= 0 {
		opt.Rounds = max(1, int(*minutes/2))
	}
	switch *only {
	case "":
	case "none":
		opt.Faults = []string{}
	default:
		opt.Faults = strings.Split(*only, ",")
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the daemon: %w", err)
	}
	if opt.Binary == "" {
		opt.Binary = filepath.Join(filepath.Dir(self), "callrecordd")
	}
	if opt.Out == "" {
		opt.Out = filepath.Join(filepath.Dir(self), "campaign-"+time.Now().Format("20060102-1504"))
	}
	report, err := campaign.Run(ctx, opt)
	if err != nil {
		return err
	}
	report.Text(os.Stdout)
	fmt.Printf("\nThe report is in %s, with the audit for a browser.\n", opt.Out)
	if !report.Passed() {
		return errFailed
	}
	return nil
}
