// Package bench measures what callrecordd costs and how fast it is, on private
// Asterisks of internal/lab with calls of internal/bench/load. Each figure is
// taken beside its reference in the same run, and printed with the bar that the
// project has set for it: ratios can be compared between machines, milliseconds
// cannot.
//
// The daemon is the real program as a child process; what it did is read from
// its database and from Asterisk's journal, as an auditor would.
//
// Read bench.go for the groups of figures, arms.go for what is compared.
package bench
