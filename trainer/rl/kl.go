package rl

import "math"

// KL holds three Monte Carlo estimates of KL(q‖p) from samples of q, after
// J. Schulman, "Approximating KL Divergence" (2020), with r = p(x)/q(x).
type KL struct {
	K1 float64 // mean of −log r: unbiased, high variance, may be negative; CleanRL's old_approx_kl
	K2 float64 // mean of (log r)²/2: biased, low variance
	K3 float64 // mean of (r−1) − log r: unbiased, never negative; CleanRL's approx_kl
}

// EstimateKL returns the estimates from log r of each sample. In PPO q is the
// policy that acted and p the one being trained. No samples give zeros.
func EstimateKL(logRatios []float64) KL {
	var kl KL
	n := float64(len(logRatios))
	for _, lr := range logRatios {
		kl.K1 -= lr / n
		kl.K2 += lr * lr / 2 / n
		kl.K3 += (math.Expm1(lr) - lr) / n
	}
	return kl
}
