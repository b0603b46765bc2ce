package eval

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

// File is the name of a run's evaluation file: an [Evaluation] as JSON.
const File = "evaluation.json"

// Evaluation is what comes of a comparison. Its JSON is read by other programs: names stay, new ones may be added, and what was
// not asked for is left out.
type Evaluation struct {
	// Summaries are the policies, the baseline first and the proxy last.
	Summaries []Summary `json:"summaries"`
	Prompts   int       `json:"prompts"`
	// Dropped are further prompts, which were left out since a reward failed on a reply to them.
	Dropped int `json:"dropped,omitempty"`
	// Reward and Reward2 say what rewards these are, by their type; the second is empty without one.
	Reward  string `json:"reward,omitempty"`
	Reward2 string `json:"reward2,omitempty"`
	// Judge is the model that judged; empty without one.
	Judge string `json:"judge,omitempty"`
	// BestOf has a row for each n asked for, n ascending.
	BestOf []BestOf `json:"best_of,omitempty"`
	// EqualN is where best-of-n meets the proxy, EqualN2 the same by the second reward (of what the first chose).
	EqualN  *EqualN `json:"equal_n,omitempty"`
	EqualN2 *EqualN `json:"equal_n_reward2,omitempty"`
	// Samples are the first few prompts on which the rewards of the first and of the last policy differ.
	Samples []Sample `json:"samples"`
}

// Greedy is the baseline's row.
func (e *Evaluation) Greedy() *Summary { return &e.Summaries[0] }

// Proxy is the proxy's row; nil where it was not compared.
func (e *Evaluation) Proxy() *Summary {
	last := &e.Summaries[len(e.Summaries)-1]
	if last.Policy != NameProxy {
		return nil
	}
	return last
}

// BestOf is the row of one n.
type BestOf struct {
	N int `json:"n"`
	Summary
}

// Sample is one prompt with the replies of all policies, in the order of the summaries; of several draws the first.
type Sample struct {
	Prompt  string    `json:"prompt"`
	Replies []string  `json:"replies"`
	Rewards []float64 `json:"rewards"`
}

// Read reads an evaluation file.
func Read(path string) (*Evaluation, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	e, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: remove it to evaluate again", path, err)
	}
	return e, nil
}

func decode(data []byte) (*Evaluation, error) {
	e := new(Evaluation)
	if err := json.Unmarshal(data, e); err != nil {
		return nil, err
	}
	if len(e.Summaries) == 0 {
		return nil, errors.New("no summaries in it")
	}
	for _, row := range e.rows() {
		if (row.Second == nil) != (e.Summaries[0].Second == nil) {
			return nil, fmt.Errorf("a second reward of %s or of %s is missing", row.Policy, e.Summaries[0].Policy)
		}
		if h := row.Histogram; h != nil && len(h.Edges) != len(h.Counts)+1 {
			return nil, fmt.Errorf("the histogram of %s has %d edges and %d counts", row.Policy, len(h.Edges), len(h.Counts))
		}
	}
	for i, one := range e.Samples {
		if len(one.Replies) != len(e.Summaries) || len(one.Rewards) != len(e.Summaries) {
			return nil, fmt.Errorf("sample %d has %d replies and %d rewards for %d policies", i+1, len(one.Replies), len(one.Rewards), len(e.Summaries))
		}
	}
	return e, nil
}

// JSON is the contents of the evaluation file.
func (e *Evaluation) JSON() ([]byte, error) {
	data, err := json.MarshalIndent(e, "", "  ")
	return append(data, '\n'), err
}

// Comparison is the scores to compare, all of the same prompts.
type Comparison struct {
	// Greedy is the baseline, with one reply to each prompt.
	Greedy *Scores
	// Sampling has as many draws as the largest n of BestOf; nil where neither it nor BestOf is asked for.
	Sampling *Scores
	// ShowSampling is false where the samples are there for BestOf only.
	ShowSampling bool
	Proxy        *Scores // nil where it is not asked for
	BestOf       []int
	// Dropped is how many prompts Paired left out.
	Dropped int
	// Resamples and Seed are the bootstrap's.
	Resamples int
	Seed      uint64
}

// Evaluate makes the evaluation, but for what a judge says of it.
func (c Comparison) Evaluate() (*Evaluation, error) {
	if c.Greedy.draws() != 1 {
		return nil, errors.New("evaluate: the baseline must have one reply to each prompt")
	}
	guard, err := c.guard()
	if err != nil {
		return nil, err
	}
	baseline := anyOf(c.Greedy)
	summarise := func(row choice) (Summary, error) { return row.summarise(baseline, guard, c.Resamples, c.Seed) }
	out := &Evaluation{Prompts: c.Greedy.prompts(), Dropped: c.Dropped}
	for _, s := range c.shown() {
		row, err := summarise(anyOf(s))
		if err != nil {
			return nil, err
		}
		out.Summaries = append(out.Summaries, row)
	}
	if err := c.addHistograms(out); err != nil {
		return nil, err
	}
	if err := c.addBestOf(out, summarise); err != nil {
		return nil, err
	}
	if err := c.addEqual(out); err != nil {
		return nil, err
	}
	c.addSamples(out)
	return out, nil
}

// shown are the policies that have a summary.
func (c Comparison) shown() []*Scores {
	out := []*Scores{c.Greedy}
	if c.ShowSampling {
		out = append(out, c.Sampling)
	}
	if c.Proxy != nil {
		out = append(out, c.Proxy)
	}
	return out
}

// guard is the 95th percentile of the mean negative log-likelihood of the samples; nil without samples.
func (c Comparison) guard() (*float64, error) {
	if c.Sampling == nil {
		return nil, nil
	}
	var likelihoods []float64
	for i := range c.Sampling.Replies {
		if nll, tokens := c.Sampling.Replies[i].NLL(); tokens > 0 {
			likelihoods = append(likelihoods, nll)
		}
	}
	at, err := stats.Quantiles(likelihoods, 0.95)
	if err != nil {
		return nil, fmt.Errorf("evaluate %s: text guard: %w", c.Sampling.Policy.Name, err)
	}
	return &at[0], nil
}

func (c Comparison) addHistograms(out *Evaluation) error {
	const bins = 30
	var sets [][]float64
	for _, s := range c.shown() {
		sets = append(sets, s.Rewards)
	}
	low, high := stats.Bounds(sets...)
	for i, rewards := range sets {
		h, err := stats.NewHistogram(rewards, low, high, bins)
		if err != nil {
			return err
		}
		out.Summaries[i].Histogram = &h
	}
	return nil
}

// addBestOf adds a row for each n, ascending.
func (c Comparison) addBestOf(out *Evaluation, summarise func(choice) (Summary, error)) error {
	if len(c.BestOf) == 0 {
		return nil
	}
	draws := anyOf(c.Sampling)
	for _, n := range slices.Compact(slices.Sorted(slices.Values(c.BestOf))) {
		chosen, err := draws.bestOf(n, fmt.Sprintf("best of %d", n))
		if err != nil {
			return fmt.Errorf("evaluate: %w", err)
		}
		row, err := summarise(chosen)
		if err != nil {
			return err
		}
		out.BestOf = append(out.BestOf, BestOf{N: n, Summary: row})
	}
	return nil
}

func (c Comparison) addEqual(out *Evaluation) (err error) {
	if len(c.BestOf) == 0 || c.Proxy == nil {
		return nil
	}
	draws, proxy := anyOf(c.Sampling), anyOf(c.Proxy)
	first := func(s *Scores) []float64 { return s.Rewards }
	if out.EqualN, err = equalN(draws, proxy, first, c.Resamples, c.Seed); err != nil {
		return err
	}
	if c.Proxy.Rewards2 != nil {
		second := func(s *Scores) []float64 { return s.Rewards2 }
		out.EqualN2, err = equalN(draws, proxy, second, c.Resamples, c.Seed)
	}
	return err
}

func (c Comparison) addSamples(out *Evaluation) {
	const most = 3
	shown := c.shown()
	last := shown[len(shown)-1]
	for i := range out.Prompts {
		if len(out.Samples) == most {
			return
		}
		if c.Greedy.Rewards[i] == last.Rewards[i*last.draws()] {
			continue
		}
		one := Sample{Prompt: c.Greedy.Replies[i].Prompt.Text}
		for _, s := range shown {
			one.Replies = append(one.Replies, s.Replies[i*s.draws()].Text)
			one.Rewards = append(one.Rewards, s.Rewards[i*s.draws()])
		}
		out.Samples = append(out.Samples, one)
	}
}
