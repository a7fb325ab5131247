// Package ami is a client of the Asterisk Manager Interface: actions and their
// answers. It takes no events, because a session that receives events makes
// Asterisk format every event of the PBX (asterisk-facts 5).
//
// It lives below ari as the sibling protocol, knows nothing of recordings and
// must not import any package of this module but ari/internal.
//
// The secret is only used for the MD5 answer to a challenge: it is never sent
// and never part of an error or a log line.
package ami
