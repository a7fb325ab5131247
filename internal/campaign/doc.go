// Package campaign is the fault campaign: `make campaign`. It places calls on a
// real Asterisk at a steady rate while it kills, stops, stalls and starves what
// records them, and then compares, call by call, what the telephones have sent
// with the CDRs, with what is heard in the files, and with what the audit says.
//
// What it knows of the faults and of the telephones stays here: the daemon and
// its audit have their own database, Asterisk's journal and the files only.
//
// Only cmd/callrecord-campaign and its own test import it. It may import the
// lab, the telephones of internal/bench/load, internal/control with the types
// it speaks, and config; it must not import the daemon's own parts, whose word
// is what is judged.
package campaign
