// Package policy is what the agents of packages ppo and sac have in common: the
// actor that accepts and rejects, with the statistics that its features are
// standardised by ([Policy]); the options of its networks and of those beside it
// ([Networks]); its part of a checkpoint ([State]); and the checks of options
// ([Checks]).
//
// It is not for learning: losses, minibatches and schedules are the agents'.
// Nothing in it is for concurrent use.
package policy
