#!/usr/bin/env python3
"""Writes the actors beside it, and what PyTorch says they do, in expected.json. Needs torch and safetensors.

    python3 testdata/write_actors.py
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn

here = pathlib.Path(__file__).parent
torch.manual_seed(7)
expected = []


def actor(inputs, hidden, activation=nn.ReLU, norm=True, bias=True):
    """LayerNorm → linear … → 2, as published agents are, with norms that do something."""
    layers = [nn.LayerNorm(inputs)] if norm else []
    for n in hidden:
        layers += [nn.Linear(inputs, n, bias=bias), activation()]
        inputs = n
    layers.append(nn.Linear(inputs, 2, bias=bias))
    net = nn.Sequential(*layers)
    if norm:
        nn.init.normal_(net[0].weight, 1, 0.3)
        nn.init.normal_(net[0].bias, 0, 0.3)
    return net


def expect(file, net, d, accept, **options):
    """Notes pi(accept) of some features, by a forward pass in double precision with the weights as they were saved."""
    inputs = next(p for p in net.parameters() if p.dim() == 2).shape[1]
    features = torch.randn(5, inputs, dtype=torch.float64).float().double()
    with torch.no_grad():
        p = torch.softmax(net.double()(features), -1)[:, accept]
    expected.append({"file": file, "embedding_length": d, "accept_action": accept,
                     "features": features.tolist(), "accept": p.tolist(), **options})


# As published: action 1 accepts.
net = actor(8, [16, 4])
torch.save(net.state_dict(), here / "published.pth")
expect("published.pth", net, 8, 1)

# A training checkpoint in half precision, with other things in it.
net = actor(8, [6]).half()
torch.save({"actor": net.state_dict(), "critic": actor(8, [6]).state_dict(), "step": 3, "lr": 1e-3, "done": False,
            "history": [0.5, None, "x"]}, here / "checkpoint.pt")
expect("checkpoint.pt", net, 4, 0, prefix="actor.")

# Names that do not say the order, in bfloat16; the activation is tanh.
net = actor(6, [5, 3], nn.Tanh).bfloat16()
names = {"0": "norm", "1": "fc_in", "3": "fc_hidden", "5": "fc_out"}
save_file({names[k.split(".")[0]] + "." + k.split(".")[1]: v for k, v in net.state_dict().items()}, here / "named.safetensors")
expect("named.safetensors", net, 6, 1, activation="tanh")

# More than ten layers of one size: the order is that of the numbers, not of the letters.
net = actor(3, [3] * 5, norm=False)
save_file({"model.actor." + k: v for k, v in net.state_dict().items()}, here / "deep.safetensors", metadata={"made": "by hand"})
expect("deep.safetensors", net, 3, 0, prefix="model.actor")

# Parameters, in double precision, one of them transposed in memory and one within a larger storage; no biases.
net = actor(4, [4], norm=False, bias=False).double()
big = torch.randn(3, 4, 4, dtype=torch.float64)
big[1] = net[0].weight.detach()
turned = net[2].weight.detach().t().contiguous().t()
torch.save({"0.weight": nn.Parameter(big[1]), "2.weight": turned}, here / "views.pt")
expect("views.pt", net, 4, 1)

# What is refused: a whole module, a form from before PyTorch 1.6, and a LayerNorm after a layer.
torch.save(actor(4, [2]), here / "module.pth")
torch.save(actor(4, [2]).state_dict(), here / "old.pth", _use_new_zipfile_serialization=False)
torch.save(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2)).state_dict(), here / "late_norm.pth")

(here / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
