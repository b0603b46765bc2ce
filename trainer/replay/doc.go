// Package replay keeps the decisions that an off-policy algorithm learns from: one
// ring of bounded size, features as float16 (what the server sends, so nothing is
// lost), in memory or on disk.
//
// It is not for sampling: which decisions make a batch is the algorithm's choice
// and its random numbers. It does not know what a reward is for.
//
// # The file
//
// A ring with a path writes every decision to that file, so that a checkpoint needs
// to hold where the ring stands and not what is in it ([Ring.State]). The file has
// more slots than decisions are kept: what a checkpoint refers to is not written
// over until two more have been made, and a run that is killed at any moment goes
// on from the last one. Every record carries its number and a checksum.
//
// One goroutine adds; many may read while none adds.
package replay
