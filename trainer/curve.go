package main

import (
	"errors"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/plot"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

// drawCurve draws the run's reward from its metrics file.
func (s *session) drawCurve() error {
	lines, err := run.ReadJSON[map[string]any](s.folder.Path(run.MetricsFile))
	if err != nil {
		return err
	}
	var points []plot.Point
	greedy := 0.0
	for _, line := range lines {
		episodes, _ := line["step"].(float64)
		if reward, ok := line["charts/episodic_return"].(float64); ok {
			points = append(points, plot.Point{Episode: int(episodes), Reward: reward})
		}
		if reward, ok := line["eval/reward"].(float64); ok {
			perplexity, _ := line["eval/perplexity"].(float64)
			points = append(points, plot.Point{Episode: int(episodes), Reward: reward, Perplexity: perplexity, Validation: true})
			greedy, _ = line["eval/greedy_reward"].(float64)
		}
	}
	svg, png, err := plot.RewardCurve(points, greedy, s.config.Name)
	if err != nil {
		return err
	}
	return errors.Join(s.folder.WriteFile(curveSVG, svg), s.folder.WriteFile(curvePNG, png))
}
