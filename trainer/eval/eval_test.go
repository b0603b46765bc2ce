package eval

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
)

func scores(name string, rewards []float64, proxy *wire.Stats) *Scores {
	s := &Scores{Policy: Policy{Name: name}, Rewards: rewards, Wall: 2 * time.Second}
	for range rewards {
		s.Replies = append(s.Replies, env.Reply{Text: "a b a b", Tokens: 4, Proxy: proxy, LogProbs: []float64{-1, -1}})
	}
	return s
}

func TestSummarise(t *testing.T) {
	base := scores("base greedy", []float64{0, 1, 2, 3}, nil)
	proxy := scores("proxy", []float64{1, 2, 3, 3}, &wire.Stats{Accepted: 3, Forced: 1, Rejected: 2, Forwards: 6})
	got, err := Summarise(proxy, base, 2000, 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]float64{
		"reward":     {got.Reward.Mean, 2.25},
		"gain":       {got.Gain.Mean, 0.75},
		"win rate":   {got.WinRate, 0.875}, // the tie counts half
		"tokens":     {got.Tokens, 4},
		"perplexity": {got.Perplexity, math.E},
		"rejections": {got.Rejections, 0.5},
		"forwards":   {got.Forwards, 1.5},
		"tokens/s":   {got.TokensPerSecond, 8},
		"distinct-2": {got.Distinct2, 2.0 / 3},
	} {
		if math.Abs(pair[0]-pair[1]) > 1e-12 {
			t.Errorf("%s is %g, want %g", name, pair[0], pair[1])
		}
	}
	if !(got.Gain.Low > 0 && got.Gain.Low < 0.75 && got.Gain.High <= 1) {
		t.Errorf("gain %s", got.Gain)
	}
	own, err := Summarise(base, base, 100, 1)
	if err != nil || own.Gain.Low != 0 || own.Gain.High != 0 || own.WinRate != 0.5 || own.Forwards != 1 {
		t.Errorf("the baseline against itself: %+v, %v", own, err)
	}
	var table bytes.Buffer
	WriteTable(&table, []Summary{own, got})
	for _, want := range []string{"base greedy", "2.25 [", "0.88", "tokens/s"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &table)
		}
	}
}

func TestSummariseWithoutLogProbsIsAnError(t *testing.T) {
	s := scores("x", []float64{1}, nil)
	s.Replies[0].LogProbs = nil
	if _, err := Summarise(s, s, 10, 1); err == nil {
		t.Error("no error: a perplexity of nothing passed for a number")
	}
}
