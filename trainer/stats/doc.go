// Package stats turns the scores of two sets of replies into the figures of an
// evaluation: means, the interval of a paired difference, win rates, histograms,
// quantiles, the best of n draws, and how varied the words and sentences are.
//
// It is not for training (running means of features are in trainer/rl), does not
// format or draw anything, and knows nothing of rewards or models.
//
// Every function is pure: it keeps and changes nothing that it is given, random
// numbers come from a seed, and it may be called from any goroutine. Numbers
// follow NumPy where NumPy has the function.
package stats
