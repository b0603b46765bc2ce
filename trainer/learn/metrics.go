package learn

import (
	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

// rolloutMetrics adds what a batch of replies says. Names are CleanRL's (charts), TRL's (objective, reward, rewards) and ours
// (proxy).
func rolloutMetrics(m map[string]float64, paid Paid, r rolled) {
	replies := paid.Replies
	if len(replies) == 0 {
		return
	}
	var tokens, proposed, rejected, forced, forwards int
	returns := make([]float64, len(replies))
	for i := range replies {
		returns[i] = paid.Episodes[i].Return
		tokens += replies[i].Tokens
		if p := replies[i].Proxy; p != nil {
			proposed += p.Proposed
			rejected += p.Rejected
			forced += p.Forced
			forwards += p.Forwards
		}
	}
	perToken := func(n int) float64 { return float64(n) / float64(max(tokens, 1)) }
	m["charts/episodic_return"] = stats.Mean(returns)
	m["charts/episodic_length"] = float64(tokens) / float64(len(replies))
	m["charts/SPS"] = float64(tokens) / r.took.Seconds()
	// TRL takes the deviation within the group of a prompt's replies; here it is the batch's.
	m["reward"], m["reward_std"] = stats.Mean(returns), deviation(returns)
	for _, t := range paid.Terms {
		m["rewards/"+t.Name+"/mean"], m["rewards/"+t.Name+"/std"] = stats.Mean(t.Scores), deviation(t.Scores)
	}
	m["proxy/rejections_per_token"] = perToken(rejected)
	m["proxy/forced_per_token"] = perToken(forced)
	m["proxy/forwards_per_token"] = perToken(forwards)
	m["proxy/tokens_per_second"] = float64(tokens) / r.rolling.Seconds()
	m["time/rollout"] = r.rolling.Seconds()
	m["time/update"] = r.learning.Seconds()
	if asked := proposed - forced; asked > 0 {
		m["proxy/accept_rate"] = float64(asked-rejected) / float64(asked)
	}
}

// deviation is 0 of one number: a metric must be a number.
func deviation(xs []float64) float64 {
	if len(xs) < 2 {
		return 0
	}
	return stats.Deviation(xs)
}

// sampleRecord is a line of the samples file.
type sampleRecord struct {
	Episodes int     `json:"episodes"`
	Prompt   string  `json:"prompt"`
	Reply    string  `json:"reply"`
	Reward   float64 `json:"reward"`
	// Rewards are the reward's terms, before their weights.
	Rewards  map[string]float64 `json:"rewards"`
	Rejected int                `json:"rejected"`
	Tokens   int                `json:"tokens"`
}

// droppedRecord is a line of the file of replies that the reward failed on.
type droppedRecord struct {
	Episodes int    `json:"episodes"`
	ID       string `json:"id"`
	Prompt   string `json:"prompt"`
	Reply    string `json:"reply"`
	Error    string `json:"error"`
}

// sample keeps the first few replies of a batch for whoever wants to read what is being rewarded, and all that were dropped for
// want of a reward, with the reason.
func (l *Loop) sample(paid Paid) error {
	for _, d := range paid.Dropped {
		record := droppedRecord{Episodes: l.state.Episodes, ID: d.Reply.Prompt.ID, Prompt: d.Reply.Prompt.Text, Reply: d.Reply.Text, Error: d.Err.Error()}
		if err := l.Folder.AppendJSON(DroppedFile, record); err != nil {
			return err
		}
	}
	const kept = 4
	for i := range paid.Replies[:min(kept, len(paid.Replies))] {
		r := &paid.Replies[i]
		record := sampleRecord{
			Episodes: l.state.Episodes, Prompt: r.Prompt.Text, Reply: r.Text,
			Reward: paid.Episodes[i].Return, Rewards: make(map[string]float64), Tokens: r.Tokens,
		}
		for _, t := range paid.Terms {
			record.Rewards[t.Name] = t.Scores[i]
		}
		if r.Proxy != nil {
			record.Rejected = r.Proxy.Rejected
		}
		if err := l.Folder.AppendJSON(SamplesFile, record); err != nil {
			return err
		}
	}
	return nil
}
