// Package prompts reads the prompts that episodes start from, and divides them
// into those to train on and those held out for evaluation.
//
// A file is JSON Lines or one JSON array, plain or compressed with gzip or
// Zstandard, or Parquet, told apart by content and not by name. A record is an
// object with the prompt under one of the usual keys (prompt, messages,
// instruction, text, or the chosen reply of an HH-RLHF pair), or just a string.
//
// The division depends on nothing but each prompt's own text, or on what its
// record says under "split". So a prompt that one run trained on is never
// evaluated by the next because the file has grown or the seed has changed.
//
// Filters take prompts away after that. So a limit on tokens, which only a server
// can count, changes neither a prompt's side nor its place in the order: see
// [Pool.Select].
//
// The package is not for chat templates or replies, it counts no tokens itself,
// and it does not stream: prompts are small, and all of them are kept in memory.
//
// Load and Read may be called from several goroutines at once; a Pool belongs to
// one.
package prompts
