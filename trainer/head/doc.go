// Package head is a reward without a second model: a small network over the frozen LLM's own final hidden states, averaged
// over a reply's tokens, that was trained on pairs of replies of which people preferred one (Bradley and Terry, "Rank analysis of
// incomplete block designs", 1952; the loss is that of every reward model since Ouyang et al., arXiv 2203.02155).
//
//   - [Fit] trains a [Head] on the states of pairs; it is deterministic.
//   - [CrossValidate] says how far such a head can be trusted on pairs that it has not seen, as a [Report].
//   - [Open] and [Head.WriteFile] are its file, GGUF as a proxy's is, and [Head.CheckBase] says whether it belongs to an LLM.
//
// It is not for getting states or reading pairs (package preference), nor for the episodes' rewards (package reward, type head).
// A Head is plain data: any number of goroutines may score with one that nobody changes.
package head
