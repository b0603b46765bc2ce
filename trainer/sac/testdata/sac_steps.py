#!/usr/bin/env python3
"""Writes sac_steps.json: ten updates of a tiny discrete SAC in PyTorch, float64.

An independent reference for the Go code, after CleanRL's sac_atari.py with the
differences that the package comment of trainer/sac names. Run `python3
sac_steps.py` in this folder; it needs PyTorch.
"""
import json
import sys

try:
    import torch
except ImportError:
    sys.exit("sac_steps.py: PyTorch is missing: pip install torch")

torch.set_default_dtype(torch.float64)
torch.manual_seed(7)

IN, HIDDEN, BATCH, STEPS = 5, [8, 6], 6, 10
LR, CRITIC_LR, EPS, MAX_NORM = 0.01, 0.02, 1e-5, 0.3
GAMMA, TAU, ALPHA, SCALE = 0.9, 0.1, 0.2, 0.6


def mlp():
    sizes = [IN, *HIDDEN, 2]
    layers = []
    for i in range(len(sizes) - 1):
        if i:
            layers.append(torch.nn.Tanh())
        layers.append(torch.nn.Linear(sizes[i], sizes[i + 1]))
    return torch.nn.Sequential(*layers)


def dump(net):  # weights as in × out, row-major
    return [(p.T if p.dim() == 2 else p).detach().flatten().tolist() for p in net.parameters()]


# Replies of several decisions; features are what float16 has exactly. A token is
# a decision's position; two at one position are a rejection and what came after.
episodes = []
for tokens in ([0, 0, 2, 3], [1], [0, 4, 4, 4, 5], [2, 3]):
    episodes.append([{
        "features": (torch.randint(-256, 256, (IN,)) / 64).tolist(),
        "action": int(torch.randint(0, 2, ())),
        "reward": float(torch.randn(())),
        "token": t,
    } for t in tokens])

decisions = []
for e in episodes:
    for i, d in enumerate(e):
        last = i == len(e) - 1
        decisions.append({**d, "last": last, "k": 0 if last else e[i + 1]["token"] - d["token"]})
x = torch.tensor([d["features"] for d in decisions])
x = (x - x.mean(0)) / x.std(0, correction=0)
nxt = torch.roll(x, -1, 0)  # of the last decision of a reply: not used
action = torch.tensor([d["action"] for d in decisions])
reward = torch.tensor([d["reward"] for d in decisions])
last = torch.tensor([d["last"] for d in decisions])
k = torch.tensor([float(d["k"]) for d in decisions])

actor, q1, q2, t1, t2 = (mlp() for _ in range(5))
t1.load_state_dict(q1.state_dict())
t2.load_state_dict(q2.state_dict())
log_alpha = torch.tensor([ALPHA]).log().requires_grad_()
start = {"actor": dump(actor), "q1": dump(q1), "q2": dump(q2)}
actor_opt = torch.optim.Adam(actor.parameters(), lr=LR, eps=EPS)
q_opts = [torch.optim.Adam(q.parameters(), lr=CRITIC_LR, eps=EPS) for q in (q1, q2)]
a_opt = torch.optim.Adam([log_alpha], lr=CRITIC_LR, eps=EPS)
target_entropy = SCALE * torch.log(torch.tensor(2.0))

steps = []
for _ in range(STEPS):
    rows = torch.randint(0, len(decisions), (BATCH,))
    s, s2, a = x[rows], nxt[rows], action[rows]
    alpha = log_alpha.exp().detach()
    with torch.no_grad():
        logp = torch.log_softmax(actor(s2), 1)
        v = (logp.exp() * (torch.min(t1(s2), t2(s2)) - alpha * logp)).sum(1)
        y = reward[rows] + torch.where(last[rows], torch.zeros(BATCH), GAMMA ** k[rows] * v)
    losses = []
    for q, opt in zip((q1, q2), q_opts):
        loss = torch.nn.functional.mse_loss(q(s).gather(1, a[:, None])[:, 0], y)
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(q.parameters(), MAX_NORM)
        opt.step()
        losses.append(loss.item())
    with torch.no_grad():
        min_q = torch.min(q1(s), q2(s))
    logp = torch.log_softmax(actor(s), 1)
    actor_loss = (logp.exp() * (alpha * logp - min_q)).sum(1).mean()
    actor_opt.zero_grad()
    actor_loss.backward()
    torch.nn.utils.clip_grad_norm_(actor.parameters(), MAX_NORM)
    actor_opt.step()
    p, lp = logp.exp().detach(), logp.detach()
    alpha_loss = (p * (-log_alpha.exp() * (lp + target_entropy))).sum(1).mean()
    a_opt.zero_grad()
    alpha_loss.backward()
    a_opt.step()
    with torch.no_grad():
        for t, q in ((t1, q1), (t2, q2)):
            for tp, qp in zip(t.parameters(), q.parameters()):
                tp.copy_(TAU * qp + (1 - TAU) * tp)
    steps.append({
        "rows": rows.tolist(), "qf1_loss": losses[0], "qf2_loss": losses[1], "actor_loss": actor_loss.item(),
        "alpha_loss": alpha_loss.item(), "entropy": -(p * lp).sum(1).mean().item(), "alpha": log_alpha.exp().item(),
    })

end = {"actor": dump(actor), "q1": dump(q1), "q2": dump(q2), "t1": dump(t1), "t2": dump(t2)}
json.dump({
    "inputs": IN, "hidden": HIDDEN, "batch": BATCH, "lr": LR, "critic_lr": CRITIC_LR, "eps": EPS, "max_norm": MAX_NORM,
    "gamma": GAMMA, "tau": TAU, "alpha": ALPHA, "scale": SCALE,
    "episodes": episodes, "start": start, "steps": steps, "end": end,
}, open("sac_steps.json", "w"), indent=1)
