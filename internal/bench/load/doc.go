// Package load places many SIP calls at once between telephones of its own, to
// see what a PBX bears. It is made to cost little and to tell time well: all
// calls share four sockets, messages are texts with a few fields filled in, and
// arrival times are the kernel's (SO_TIMESTAMPNS), not those at which a busy
// process got round to reading. What the PBX sends as RTP is not read at all.
//
// The telephones of internal/lab hear, transfer and check; these only call.
// Everything stays on 127.0.0.1, and every call ends by itself.
package load
