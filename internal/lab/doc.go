// Package lab gives tests and the demo private Asterisk instances and SIP
// phones: a real Asterisk without root (Ensure), a PBX with its own ports,
// configuration and dialplan (Start), phones with real RTP (NewPhone), and
// checks of what can be heard in a recording (CheckTone, Tones).
//
// Of our own packages it may import callrecordd/dialplan only, for the shipped
// configuration texts: what is tested is what is delivered. Nothing that runs
// in production may import it. Everything listens on loopback.
package lab
