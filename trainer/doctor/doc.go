// Package doctor looks for what would stop a run, or make it worse than it need
// be, before the run begins: the server, the model in it, memory, disk, and
// settings that leave the proxy nothing to decide. Every [Finding] says what was
// found and what to do about it.
//
// It looks at the real things rather than at what they say of themselves: it
// starts the server that a run would start, and lets it answer with a proxy made
// up on the spot, once for each kind of features.
//
// The package is not for the configuration's own faults (package config refuses
// those before any doctor is called), repairs nothing, and prints nothing. An
// examination belongs to one goroutine.
package doctor
