// Command callrecordd records telephone calls on Asterisk: `callrecordd serve`
// is the daemon, the other sub-commands talk to it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the Makefile.
var version = "development"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	cmd := newRoot(environment{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, version: version,
	})
	cmd.SetArgs(os.Args[1:])
	err := cmd.ExecuteContext(ctx)
	stop()
	if errors.Is(err, errTold) {
		os.Exit(1)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "callrecordd: "+err.Error())
		os.Exit(1)
	}
}
