package learn

import (
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
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
	spread(m, "reward", "reward_std", returns)
	termMetrics(m, "", paid.Terms)
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

// termMetrics adds what each term of the reward says, before its weight, as TRL does of its reward functions.
func termMetrics(m map[string]float64, prefix string, terms []reward.Term) {
	for _, t := range terms {
		name := prefix + "rewards/" + t.Name
		spread(m, name+"/mean", name+"/std", t.Scores)
	}
}

// spread adds a mean and a deviation, which a single number does not have.
func spread(m map[string]float64, mean, std string, xs []float64) {
	m[mean] = stats.Mean(xs)
	if len(xs) > 1 {
		m[std] = stats.Deviation(xs)
	}
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
