// Package e2e holds the end-to-end tests: the daemon as it ships, a real
// Asterisk, SIP phones with tones, and the HTTP API a client would use. There
// is nothing in it but tests; each is named after what a user cares about.
package e2e
