// Package config is the configuration of the trainer: every knob of a run in one
// documented struct, and the one way to fill it.
//
// Each knob has one dotted name and four places, of which a later one wins: its
// default, a YAML file, an environment variable and a flag.
//
//	ppo: {learning_rate: 3e-4}           in the file
//	PROXY_RLHF_PPO_LEARNING_RATE=3e-4    in the environment
//	--ppo.learning_rate 3e-4             on the command line
//
// Names, flags and help texts are made from the struct by reflection, so a new
// field is a knob everywhere at once. Unknown names are refused, with the name
// that was probably meant, and so are values of the wrong type or out of range.
//
// The package is not for acting on the configuration: it opens no file but the
// YAML one, looks at no server, and prints nothing.
//
// A Config is a plain value. Copies share the lists in it; whoever changes one
// of these must be alone.
package config
