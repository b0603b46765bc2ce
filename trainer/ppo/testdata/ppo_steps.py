#!/usr/bin/env python3
"""Writes ppo_steps.json: ten minibatches of a tiny PPO in PyTorch, float64.

An independent reference for the Go code, after CleanRL's ppo.py with the
differences that the package comment of trainer/ppo names. Run `python3
ppo_steps.py` in this folder; it needs PyTorch.
"""
import json
import sys

try:
    import torch
except ImportError:
    sys.exit("ppo_steps.py: PyTorch is missing: pip install torch")

torch.set_default_dtype(torch.float64)
torch.manual_seed(5)

IN, HIDDEN, DECISIONS, SIZE, STEPS = 5, [8, 6], 16, 8, 10
LR, CRITIC_LR, EPS, MAX_NORM, CLIP, ENT = 0.02, 0.03, 1e-5, 0.3, 0.2, 0.01


def mlp(outputs):
    sizes = [IN, *HIDDEN, outputs]
    layers = []
    for i in range(len(sizes) - 1):
        if i:
            layers.append(torch.nn.SiLU())
        layers.append(torch.nn.Linear(sizes[i], sizes[i + 1]))
    return torch.nn.Sequential(*layers)


def dump(net):  # weights as in × out, row-major
    return [(p.T if p.dim() == 2 else p).detach().flatten().tolist() for p in net.parameters()]


x = torch.randint(-256, 256, (DECISIONS, IN)) / 64
action = torch.randint(0, 2, (DECISIONS,))
old = -0.1 - torch.rand(DECISIONS)
advantage, returns = torch.randn(DECISIONS) * 3 + 1, torch.randn(DECISIONS)
actor, critic = mlp(2), mlp(1)
start = {"actor": dump(actor), "critic": dump(critic)}
actor_opt = torch.optim.Adam(actor.parameters(), lr=LR, eps=EPS)
critic_opt = torch.optim.Adam(critic.parameters(), lr=CRITIC_LR, eps=EPS)

steps = []
for step in range(STEPS):
    rows = torch.randperm(DECISIONS)[: SIZE - step % 3]  # some are not full
    a = advantage[rows]
    a = (a - a.mean()) / (a.std() + 1e-8)
    logp = torch.log_softmax(actor(x[rows]), 1)
    ratio = (logp.gather(1, action[rows][:, None])[:, 0] - old[rows]).exp()
    policy = torch.max(-a * ratio, -a * ratio.clamp(1 - CLIP, 1 + CLIP)).mean()
    entropy = -(logp.exp() * logp).sum(1).mean()
    actor_opt.zero_grad()
    (policy - ENT * entropy).backward()
    actor_norm = torch.nn.utils.clip_grad_norm_(actor.parameters(), MAX_NORM)
    actor_opt.step()
    value = 0.5 * ((critic(x[rows])[:, 0] - returns[rows]) ** 2).mean()
    critic_opt.zero_grad()
    value.backward()
    critic_norm = torch.nn.utils.clip_grad_norm_(critic.parameters(), MAX_NORM)
    critic_opt.step()
    steps.append({
        "rows": rows.tolist(), "policy": policy.item(), "value": value.item(), "entropy": entropy.item(),
        "actor_norm": actor_norm.item(), "critic_norm": critic_norm.item(),
    })

json.dump({
    "inputs": IN, "hidden": HIDDEN, "size": SIZE, "lr": LR, "critic_lr": CRITIC_LR, "eps": EPS, "max_norm": MAX_NORM,
    "clip": CLIP, "ent": ENT, "x": x.tolist(), "action": action.tolist(), "old": old.tolist(),
    "advantage": advantage.tolist(), "returns": returns.tolist(), "start": start, "steps": steps,
    "end": {"actor": dump(actor), "critic": dump(critic)},
}, open("ppo_steps.json", "w"), indent=1)
