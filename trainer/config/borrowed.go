package config

import (
	"strings"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
)

// borrowed are the help texts of knobs whose structs belong to other packages,
// by their dotted names. A test fails where one is missing or too many.
var borrowed = map[string]string{
	"prompts.path":           "file of prompts: JSON Lines or a JSON array, plain, .gz or .zst, or Parquet",
	"prompts.key":            "key of the prompt in a record; empty: the first there is of prompt, messages, instruction, text, chosen",
	"prompts.limit":          "prompts to train on at most, after the shuffle; 0: all",
	"prompts.max_characters": "longer prompts are left out, in characters; 0: none is",
	"prompts.max_tokens":     "prompts that the model sees as more tokens, its chat template's among them, are left out; the paper has 256; 0: none is",
	"prompts.seed":           "order of the training prompts",
	"prompts.hold_out":       "prompts held out for the final evaluation; 0: every record with \"split\": \"test\"",
	"prompts.reserve":        "share of prompts without a split that is kept from training; 0: 0.1",

	"reward.type":        strings.Join(reward.Types(), ", "),
	"reward.name":        "name of a term of a sum in metrics; empty: its type",
	"reward.weight":      "factor of the reward; 1 if not set, less than 0 turns it round",
	"reward.terms":       "summands of sum: a list of rewards, as YAML",
	"reward.pattern":     "regular expression of regexp, in Go's syntax",
	"reward.ignore_case": "let pattern match in any case",
	"reward.per_match":   "reward for each match of pattern; less than 0 shuns it",
	"reward.unit":        "what length counts: words, characters, words_per_sentence or word_length; empty: words",
	"reward.target":      "length sought, in units: the reward is how far off it is, as a share; 0: the longer the better",
	"reward.n":           "words in a row that distinct counts; 0: 2",
	"reward.words":       "words, or phrases, and their weights for lexicon, as YAML; case does not count",
	"reward.words_file":  "file of the weights for lexicon instead: a JSON object (.json), or lines of a word, a tab and its weight",
	"reward.unlisted":    "weight of each word that lexicon does not know",
	"reward.model":       "model that judges for ollama, by its Ollama name",
	"reward.rubric":      "what ollama tells that model of good replies and bad ones",
	"reward.scale":       "best score that it may give; the worst is 1, and the reward is from 0 to 1; 0: 10",
	"reward.parallel":    "replies that ollama judges at once; 0: 4",
	"reward.command":     "program of command and its arguments, as a YAML list: it answers lines {query, prompt, reply, label} with lines {reward} or {error}",
	"reward.url":         "where http posts {query, prompts, labels} (OpenRLHF's contract), or the server of ollama; empty: http://127.0.0.1:11434 for ollama",
	"reward.timeout":     "longest wait for one answer of http, ollama or command; 0: 3m",
	"reward.retries":     "further tries of http or ollama after a failure that may pass; 0: 4, -1: none",
	"reward.retry_wait":  "wait before the second try of http or ollama, doubled each time; 0: 500ms",
	"reward.headers":     "headers that http or ollama adds, as YAML; $NAME stands for an environment variable",

	"ppo.learning_rate":        "step size of the actor; 0 freezes it",
	"ppo.critic_learning_rate": "step size of the critic; 0 freezes it",
	"ppo.adam_eps":             "Adam's epsilon",
	"ppo.update_epochs":        "times each update goes over its batch",
	"ppo.minibatch_size":       "decisions in one step at most",
	"ppo.clip_coef":            "the ratio to the old policy stops paying outside 1 plus or minus this",
	"ppo.ent_coef":             "weight of the policy's entropy, in nats; 0: none",
	"ppo.max_grad_norm":        "largest norm of a network's gradient; 0: any",
	"ppo.gamma":                "discount of the reward for each token it lies ahead, 0 to 1",
	"ppo.gae_lambda":           "from one-step (0) to whole-reply (1) advantages, for each token",
	"ppo.norm_adv":             "bring the advantages of each minibatch to mean 0 and deviation 1",
	"ppo.initial_accept":       "pi(accept) of the untrained actor, between 0 and 1",
	"ppo.target_kl":            "end an update once its approximate KL exceeds this; 0: never",
}
