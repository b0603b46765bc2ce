package learn

import (
	"time"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

// rolloutMetrics adds what a batch of replies says. Names are CleanRL's (charts), TRL's (objective) and ours (proxy).
func rolloutMetrics(m map[string]float64, replies []env.Reply, episodes []rl.Episode, rollout, update time.Duration) {
	if len(replies) == 0 {
		return
	}
	var tokens, proposed, rejected, forced, forwards int
	returns := make([]float64, len(episodes))
	for i := range replies {
		returns[i] = episodes[i].Return
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
	m["charts/SPS"] = float64(tokens) / (rollout + update).Seconds()
	m["proxy/rejections_per_token"] = perToken(rejected)
	m["proxy/forced_per_token"] = perToken(forced)
	m["proxy/forwards_per_token"] = perToken(forwards)
	m["proxy/tokens_per_second"] = float64(tokens) / rollout.Seconds()
	m["time/rollout"] = rollout.Seconds()
	m["time/update"] = update.Seconds()
	if asked := proposed - forced; asked > 0 {
		m["proxy/accept_rate"] = float64(asked-rejected) / float64(asked)
	}
}

// sampleRecord is a line of the samples file.
type sampleRecord struct {
	Episodes int     `json:"episodes"`
	Prompt   string  `json:"prompt"`
	Reply    string  `json:"reply"`
	Reward   float64 `json:"reward"`
	Rejected int     `json:"rejected"`
	Tokens   int     `json:"tokens"`
}

// sample keeps the first few replies of a batch for whoever wants to read what is being rewarded.
func (l *Loop) sample(replies []env.Reply, episodes []rl.Episode) error {
	const kept = 4
	for i := range replies[:min(kept, len(replies))] {
		r := &replies[i]
		record := sampleRecord{Episodes: l.state.Episodes, Prompt: r.Prompt.Text, Reply: r.Text, Reward: episodes[i].Return, Tokens: r.Tokens}
		if r.Proxy != nil {
			record.Rejected = r.Proxy.Rejected
		}
		if err := l.Folder.AppendJSON(SamplesFile, record); err != nil {
			return err
		}
	}
	return nil
}
