#!/usr/bin/env python3
"""Writes actor_steps.json: three PPO steps of a tiny actor in NumPy, float64.

An independent reference for the Go code: forward pass, gradient of the clipped
surrogate and the entropy worked out by hand, clip_grad_norm_ and Adam as the
PyTorch documentation defines them. Run `python3 actor_steps.py` in this folder.
"""
import json

import numpy as np

IN, HIDDEN, ROWS, PADDED = 3, 4, 6, 8
CLIP, ENT, LR, EPS, MAX_NORM = 0.2, 0.05, 0.03, 1e-5, 0.1

rng = np.random.default_rng(11)
w = [rng.normal(0, 0.7, s) for s in ((IN, HIDDEN), (HIDDEN,), (HIDDEN, 2), (2,))]
x = rng.normal(0, 1, (ROWS, IN))
action = np.array([0, 1, 1, 0, 0, 1])
advantage = np.array([1.5, -0.5, 0.8, -1.2, 0.3, -0.9])
old = np.array([-0.7, -0.2, -1.9, -0.6, -1.3, -0.4])
start = [p.copy() for p in w]


def gradient(w):
    w0, b0, w1, b1 = w
    h = np.tanh(x @ w0 + b0)
    z = h @ w1 + b1
    logp = z - z.max(1, keepdims=True)
    logp -= np.log(np.exp(logp).sum(1, keepdims=True))
    p = np.exp(logp)
    chosen = logp[np.arange(ROWS), action]
    ratio = np.exp(chosen - old)
    clipped = np.clip(ratio, 1 - CLIP, 1 + CLIP)
    surrogate = np.minimum(ratio * advantage, clipped * advantage)
    entropy = -(p * logp).sum(1)
    loss = -surrogate.mean() - ENT * entropy.mean()

    live = ratio * advantage <= clipped * advantage  # where the minimum depends on the ratio
    one_hot = np.eye(2)[action]
    dz = -(live * ratio * advantage)[:, None] * (one_hot - p)
    dz += ENT * p * (logp + entropy[:, None])
    dz /= ROWS
    dh = (dz @ w1.T) * (1 - h * h)
    return [x.T @ dh, dh.sum(0), h.T @ dz, dz.sum(0)], loss, surrogate.mean(), entropy.mean(), chosen


m, v = [np.zeros_like(p) for p in w], [np.zeros_like(p) for p in w]
steps = []
for t in range(1, 4):
    g, loss, surrogate, entropy, chosen = gradient(w)
    norm = np.sqrt(sum((a * a).sum() for a in g))
    scale = min(1.0, MAX_NORM / (norm + 1e-6))
    for i in range(4):
        gi = g[i] * scale
        m[i] = 0.9 * m[i] + 0.1 * gi
        v[i] = 0.999 * v[i] + 0.001 * gi * gi
        w[i] = w[i] - LR / (1 - 0.9**t) * m[i] / (np.sqrt(v[i]) / np.sqrt(1 - 0.999**t) + EPS)
    steps.append({
        "loss": loss, "policy": -surrogate, "entropy": entropy, "norm": norm,
        "log_prob": chosen.tolist(), "gradients": [a.ravel().tolist() for a in g],
        "parameters": [a.ravel().tolist() for a in w],
    })

json.dump({
    "sizes": [IN, HIDDEN, 2], "padded": PADDED, "clip": CLIP, "ent": ENT, "rate": LR, "eps": EPS, "max_norm": MAX_NORM,
    "parameters": [a.ravel().tolist() for a in start], "x": x.ravel().tolist(), "action": action.tolist(),
    "advantage": advantage.tolist(), "old": old.tolist(), "steps": steps,
}, open("actor_steps.json", "w"), indent=1)
