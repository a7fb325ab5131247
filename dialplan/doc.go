// Package dialplan owns what callrecordd puts into Asterisk and the rules that
// decide about recording: the text of the configuration snippets, the feature
// codes, and Decide, the pure function that says which parties of a talk want
// it recorded and why.
//
// It must not import anything of ours: rules take values and return values, so
// that a stored decision can be replayed years later.
package dialplan
