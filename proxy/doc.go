// Package proxy is the proxy model of Proxy-RLHF (arXiv 2403.04283): a small
// multi-layer perceptron that looks at one candidate token of a frozen LLM and
// says with which probability it accepts it,
//
//	pi(accept) = softmax(logits)[0]    logits = [accept, reject]
//
// The package holds the layers ([Model], [Linear], [Norm]), their GGUF file
// ([Open], [Decode], [Model.WriteFile]), the checks that decide whether a file
// is a proxy at all and whether it belongs to a given LLM ([Model.Validate],
// [Model.CheckBase]), and two implementations of inference: [Model.Accept],
// slow and obvious, and [Evaluator], which serves.
//
// It is not for training: critics, gradients and optimisers live in the
// trainer. It does not decide either: which candidates there are, when a
// rejection is masked and what to do with the probability is package sampler's.
//
// What the proxy sees is a vector of float features, hidden states first:
// d values with [Lookahead], 2d values (hidden state, then the candidate's
// token embedding) with [Prefix], where d is the LLM's embedding length.
//
// # Sharing between goroutines
//
// A [Model] is plain data. Any number of goroutines may read it, and any number
// of evaluators may run over it, as long as nobody writes to it. An [Evaluator]
// belongs to one goroutine at a time; its forks, which share its weights and its
// cache, may run in others.
package proxy
