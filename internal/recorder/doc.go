// Package recorder decides what is recorded: claims of the parties of a talk
// go in, effects come out (design 6 and 8). It is pure: no I/O, no clock, no
// goroutine; package exec performs the effects and feeds the results back.
//
// It may import internal/call and dialplan only; never exec, store, ari or
// anything that touches files or the network.
package recorder
