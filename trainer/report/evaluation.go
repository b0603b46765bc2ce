package report

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

// EvaluationFile is the name of a run's evaluation on its held-out prompts.
const EvaluationFile = "evaluation.json"

// Evaluation is what a report takes from an evaluation file; what else there is in it is passed over.
type Evaluation struct {
	Summaries []Summary `json:"summaries"` // the baseline, base greedy, first, and the proxy last
	Prompts   int       `json:"prompts"`
	BestOf    []BestOf  `json:"best_of"` // may be missing
}

// Summary is one policy's row.
type Summary struct {
	Policy     string         `json:"policy"`
	Reward     stats.Interval `json:"reward"`
	Gain       stats.Interval `json:"gain"`
	WinRate    float64        `json:"win_rate"`
	Tokens     float64        `json:"tokens"`
	Perplexity float64        `json:"perplexity"`
	Rejections float64        `json:"rejections_per_token"`
	Forwards   float64        `json:"forwards_per_token"`
	// Histogram is of the rewards; it may be missing.
	Histogram *stats.Histogram `json:"histogram"`
}

// BestOf is the row of best-of-n for one n.
type BestOf struct {
	N int `json:"n"`
	Summary
}

// Greedy is the baseline's row, Proxy that of the proxy.
func (e *Evaluation) Greedy() *Summary { return &e.Summaries[0] }

// Proxy is the proxy's row.
func (e *Evaluation) Proxy() *Summary { return &e.Summaries[len(e.Summaries)-1] }

// ReadEvaluation reads an evaluation file; where there is none, the error is fs.ErrNotExist.
func ReadEvaluation(path string) (*Evaluation, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	e := new(Evaluation)
	if err := json.Unmarshal(data, e); err != nil {
		return nil, fmt.Errorf("%s: %w: evaluate the run again", path, err)
	}
	if len(e.Summaries) < 2 {
		return nil, fmt.Errorf("%s: %d policies, want greedy decoding and the proxy: evaluate the run again", path, len(e.Summaries))
	}
	for i := range e.Summaries {
		if h := e.Summaries[i].Histogram; h != nil && len(h.Edges) != len(h.Counts)+1 {
			return nil, fmt.Errorf("%s: the histogram of %s has %d edges and %d counts: evaluate the run again", path, e.Summaries[i].Policy, len(h.Edges), len(h.Counts))
		}
	}
	return e, nil
}
