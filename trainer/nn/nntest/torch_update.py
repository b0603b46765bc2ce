"""One update of PPO or of discrete SAC in PyTorch on the CPU, timed, as the Go code makes it.

Arguments: ppo or sac, features, hidden size, minibatch size, threads. Prints "ready" after a warm-up, or "skip: " and
why; then makes one update for each line of its standard input and prints its seconds.
"""
import sys
import time

algorithm, (d, hidden, rows, threads) = sys.argv[1], map(int, sys.argv[2:6])
try:
    import torch
    from torch import nn
except ImportError:
    print("skip: %s has no PyTorch: pip install torch, or name another Python in TORCH_PYTHON" % sys.executable, flush=True)
    sys.exit()

torch.set_num_threads(threads)
torch.manual_seed(1)


def mlp(outputs):
    return nn.Sequential(nn.Linear(d, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def optimiser(net):
    return torch.optim.Adam(net.parameters(), lr=3e-4, eps=1e-8)


def step(net, opt, loss):
    opt.zero_grad(set_to_none=False)
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 0.5)
    opt.step()


mean, inverse = torch.zeros(d), torch.ones(d)
order = torch.arange(rows)
action = torch.zeros(rows, dtype=torch.long)
actor = mlp(2)
actor_opt = optimiser(actor)

if algorithm == "ppo":
    features = torch.randn(rows, d)
    critic = mlp(1)
    critic_opt = optimiser(critic)
    old, advantage, target = torch.full((rows,), -0.2), torch.randn(rows), torch.randn(rows)

    def update():
        x = (features[order] - mean) * inverse
        a = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        logp = torch.log_softmax(actor(x), 1)
        ratio = (logp.gather(1, action[:, None])[:, 0] - old).exp()
        policy = torch.max(-a * ratio, -a * ratio.clamp(0.8, 1.2)).mean()
        entropy = -(logp.exp() * logp).sum(1).mean()
        step(actor, actor_opt, policy - 0.005 * entropy)
        step(critic, critic_opt, 0.5 * ((critic(x)[:, 0] - target) ** 2).mean())
        return policy.item() + entropy.item()  # logged, as the Go code does
else:
    features = torch.randn(rows + 1, d).half()
    q = [mlp(2), mlp(2)]
    targets = [mlp(2), mlp(2)]
    q_opt = [optimiser(n) for n in q]
    reward, log_alpha = torch.randn(rows), torch.zeros(1, requires_grad=True)
    alpha_opt = torch.optim.Adam([log_alpha], lr=3e-4)

    def update():
        rows_ = torch.randint(0, rows, (rows,))
        alpha = log_alpha.exp().detach()
        with torch.no_grad():
            x2 = (features[rows_ + 1].float() - mean) * inverse
            logp = torch.log_softmax(actor(x2), 1)
            v = (logp.exp() * (torch.min(targets[0](x2), targets[1](x2)) - alpha * logp)).sum(1)
            y = reward[rows_] + 0.99 * v
        x = (features[rows_].float() - mean) * inverse
        losses = 0.0
        for n, opt in zip(q, q_opt):
            loss = ((n(x).gather(1, action[:, None])[:, 0] - y) ** 2).mean()
            step(n, opt, loss)
            losses += loss.item()
        with torch.no_grad():
            min_q = torch.min(q[0](x), q[1](x))
        logp = torch.log_softmax(actor(x), 1)
        step(actor, actor_opt, (logp.exp() * (alpha * logp - min_q)).sum(1).mean())
        entropy = -(logp.exp() * logp).sum(1).mean().detach()
        alpha_opt.zero_grad()
        (log_alpha.exp() * (entropy - 0.4159)).sum().backward()
        alpha_opt.step()
        with torch.no_grad():
            for t, n in zip(targets, q):
                for tp, p in zip(t.parameters(), n.parameters()):
                    tp.lerp_(p, 0.005)
        return losses


update()
print("ready", flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    update()
    print(time.perf_counter() - start, flush=True)
