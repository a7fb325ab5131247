// Command callrecord-demo shows callrecordd at work: it starts a real Asterisk
// and the daemon's own program on loopback in a throw-away folder, places real
// calls with distinguishable tones, and proves from the files that the HTTP API
// hands out that what the rules want was recorded and nothing else.
//
// It uses internal/lab. It must not reach into the
// daemon: what it knows of the daemon comes from the command line, the HTTP API
// and the files on disk, as for any administrator.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	keep := flag.Bool("keep", false, "leave everything running until Ctrl-C")
	binary := flag.String("daemon", "", "the callrecordd to show (default: the one beside this program)")
	flag.Parse()
	// In the background a read from the terminal would stop the whole process,
	// and a closed pipe would end it before anything is cleaned up.
	signal.Ignore(syscall.SIGTTIN, syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // the second Ctrl-C does not wait for the cleaning
	began := time.Now()
	if err := run(ctx, options{binary: *binary, keep: *keep, in: os.Stdin, out: os.Stdout}); err != nil {
		fmt.Fprintln(os.Stderr, "callrecord-demo: "+err.Error())
		os.Exit(1)
	}
	fmt.Printf("\nDone in %.0f s. Asterisk, the daemon and their folder are gone.\n", time.Since(began).Seconds())
}
