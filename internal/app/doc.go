// Package app is the one place that knows everybody: it wires the parts of the
// daemon, starts them in order and stops them in reverse (design 3).
//
// Read run.go for the life of the daemon, then reduce.go for the way of a call:
// ARI events come in through the stream, internal/call makes talks of them,
// internal/recorder decides and says what to do, recorder/exec does it. CDRs
// take the other way, from Asterisk's journal through internal/cdr to store.
//
// Nobody but cmd may import it.
package app
