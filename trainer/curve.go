package main

import (
	"errors"
	"math"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/plot"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

// drawCurve draws the run's reward from its metrics file.
func (s *session) drawCurve() error {
	records, err := run.ReadMetrics(s.folder.Dir())
	if err != nil {
		return err
	}
	var points []plot.Point
	greedy := math.NaN()
	for _, r := range records {
		if reward, ok := r.Metrics["charts/episodic_return"]; ok {
			points = append(points, plot.Point{Episode: int(r.Step), Reward: reward})
		}
		if reward, ok := r.Metrics["eval/reward"]; ok {
			points = append(points, plot.Point{Episode: int(r.Step), Reward: reward, Perplexity: r.Metrics["eval/perplexity"], Validation: true})
			greedy = r.Metrics["eval/greedy_reward"]
		}
	}
	svg, png, err := plot.RewardCurve(points, greedy, s.config.Name)
	if err != nil {
		return err
	}
	return errors.Join(s.folder.WriteFile(curveSVG, svg), s.folder.WriteFile(curvePNG, png))
}
