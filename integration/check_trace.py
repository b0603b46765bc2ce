#!/usr/bin/env python3
"""Makes every decision of a traced reply again, with NumPy alone.

    python check_trace.py TRACE MODEL PROXY [--logits E]

An independent reading of docs and files: the LLM's forward pass (llama), its
tokens' embeddings, the pool, the rule that forces a token, the proxy's network,
exploration and the counts are computed here from the two GGUF files and compared
with what the server said. Nothing is shared with the Go code. TRACE is JSON
lines: first {"prompt": [token ids], "options": the request's}, then the streamed
objects of /api/generate as they came.

E is how far two logits of one token may lie apart. For a float32 model the
backend's sums differ from NumPy's in the last bits only. A quantised model
multiplies activations rounded to 8 bits by its blocks, here they are not rounded:
its logits differ in the second decimal. Everything else is derived from E. Where
E decides (two candidates' order, the pool's end, p_t) the trace's choice is
taken and counted as too close to call. What needs no logits (the embedding's half of the
features, pi(accept) of the traced features, actions, counts) is exact or float32.
"""

import argparse
import base64
import json
import struct
import sys

import numpy as np

FLOAT32, FLOAT16, Q4_1, Q8_0 = 0, 1, 3, 8


class GGUF:
    """A GGUF file: kv, and tensors as float32 arrays with the outer dimension first."""

    SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def __init__(self, path):
        self.data = np.memmap(path, mode="r")
        self.at = 0
        magic, version, tensors, keys = self.read("4sIQQ")
        assert magic == b"GGUF" and version == 3, (magic, version)
        self.kv = {}
        for _ in range(keys):
            name = self.string()
            self.kv[name] = self.value(self.read("I")[0])
        self.where = {}
        for _ in range(tensors):
            name = self.string()
            (dimensions,) = self.read("I")
            shape = self.read(f"{dimensions}Q")
            kind, offset = self.read("IQ")
            self.where[name] = (kind, shape[::-1], offset)
        alignment = self.kv.get("general.alignment", 32)
        self.start = -(-self.at // alignment) * alignment

    def read(self, form):
        form = "<" + form
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values

    def string(self):
        (n,) = self.read("Q")
        return self.read(f"{n}s")[0].decode()

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            element, n = self.read("IQ")
            return [self.value(element) for _ in range(n)]
        return self.read(self.SCALARS[kind])[0]

    def tensor(self, name):
        kind, shape, offset = self.where[name]
        n = int(np.prod(shape))
        raw = self.data[self.start + offset :]
        if kind == FLOAT32:
            values = raw[: 4 * n].view("<f4")
        elif kind == FLOAT16:
            values = raw[: 2 * n].view("<f2").astype(np.float32)
        elif kind == Q8_0:  # blocks of 32: a scale, 32 signed bytes
            blocks = raw[: n // 32 * 34].reshape(-1, 34)
            scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
            values = scale * blocks[:, 2:].copy().view(np.int8)
        elif kind == Q4_1:  # blocks of 32: a scale, a minimum, 16 bytes with the first 16 values in their low halves
            blocks = raw[: n // 32 * 20].reshape(-1, 20)
            scale, least = (blocks[:, i : i + 2].copy().view("<f2").astype(np.float32) for i in (0, 2))
            values = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1) * scale + least
        else:
            sys.exit(f"{name}: tensors of GGML type {kind} are not read here")
        return values.reshape(shape)


class Llama:
    """The llama architecture, one sequence, with keys and values kept in float16 as Ollama keeps them."""

    def __init__(self, path):
        self.file = GGUF(path)
        key = lambda name: self.file.kv["llama." + name]
        self.heads, self.kv_heads = key("attention.head_count"), key("attention.head_count_kv")
        self.width, self.eps = key("embedding_length"), key("attention.layer_norm_rms_epsilon")
        self.head = self.file.kv.get("llama.attention.key_length", self.width // self.heads)
        self.rate = key("rope.freq_base") ** (-np.arange(0, self.head, 2) / self.head)
        names = ["attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down"]
        self.blocks = [
            {n: self.file.tensor(f"blk.{i}.{n}.weight") for n in names} for i in range(key("block_count"))
        ]
        self.embedding = self.file.tensor("token_embd.weight")
        self.norm = self.file.tensor("output_norm.weight")
        tied = "output.weight" not in self.file.where
        self.output = self.embedding if tied else self.file.tensor("output.weight")
        self.keys = [np.zeros((0, self.kv_heads, self.head), np.float32) for _ in self.blocks]
        self.values = [k.copy() for k in self.keys]

    def rms(self, x, weight):
        return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + self.eps) * weight

    def rotate(self, x, positions):
        angle = (positions[:, None] * self.rate)[:, None, :]
        cos, sin = np.cos(angle), np.sin(angle)
        a, b = x[..., 0::2], x[..., 1::2]
        return np.stack([a * cos - b * sin, a * sin + b * cos], axis=-1).reshape(x.shape).astype(np.float32)

    def feed(self, tokens):
        """Returns the final hidden state at each of the tokens, which join the sequence."""
        x = self.embedding[tokens]
        n, past = len(tokens), len(self.keys[0])
        positions = np.arange(past, past + n)
        hidden_from = np.where(np.arange(past + n)[None, :] > positions[:, None], -np.inf, 0)  # a later token
        for i, w in enumerate(self.blocks):
            h = self.rms(x, w["attn_norm"])
            q = self.rotate((h @ w["attn_q"].T).reshape(n, self.heads, self.head), positions)
            k = self.rotate((h @ w["attn_k"].T).reshape(n, self.kv_heads, self.head), positions)
            v = (h @ w["attn_v"].T).reshape(n, self.kv_heads, self.head)
            half = lambda y: y.astype(np.float16).astype(np.float32)
            self.keys[i], self.values[i] = (
                np.concatenate([old, half(new)]) for old, new in ((self.keys[i], k), (self.values[i], v))
            )
            group = self.heads // self.kv_heads
            k, v = (np.repeat(y[i], group, axis=1) for y in (self.keys, self.values))
            score = np.einsum("nhd,mhd->hnm", q, k) / np.sqrt(self.head) + hidden_from
            score = np.exp(score - score.max(axis=-1, keepdims=True))
            score = (score / score.sum(axis=-1, keepdims=True)).astype(np.float32)
            x = x + np.einsum("hnm,mhd->nhd", score, v).reshape(n, -1) @ w["attn_output"].T
            h = self.rms(x, w["ffn_norm"])
            gate = h @ w["ffn_gate"].T
            x = x + (gate / (1 + np.exp(-gate)) * (h @ w["ffn_up"].T)) @ w["ffn_down"].T
        return self.rms(x, self.norm)

    def at(self, token):
        """The final hidden state at a token that does not join the sequence."""
        past = len(self.keys[0])
        state = self.feed([token])[0]
        self.keys, self.values = ([y[:past] for y in ys] for ys in (self.keys, self.values))
        return state


class Proxy:
    def __init__(self, path):
        file = GGUF(path)
        key = lambda name, default=None: file.kv.get("proxy_rlhf." + name, default)
        self.features, self.activation, self.cutoff = key("features"), key("activation"), key("cutoff", 0.5)
        self.pool = {
            "temperature": key("temperature"), "top_k": key("top_k", 0), "top_p": key("top_p"), "min_p": key("min_p", 0),
            "proxy_pt": key("p_t"), "proxy_max_rejections": key("max_rejections", 0),
        }  # fmt: skip
        load = lambda name: (file.tensor(f"proxy.{name}.weight").astype(float), file.tensor(f"proxy.{name}.bias").astype(float))
        self.norm = load("norm") if "proxy.norm.weight" in file.where else None
        self.layers = []
        while f"proxy.{len(self.layers)}.weight" in file.where:
            self.layers.append(load(len(self.layers)))

    def accept(self, x):
        if self.norm:
            x = (x - x.mean()) / np.sqrt(x.var() + 1e-5) * self.norm[0] + self.norm[1]
        act = {"relu": lambda y: np.maximum(y, 0), "tanh": np.tanh, "silu": lambda y: y / (1 + np.exp(-y))}[self.activation]
        for i, (weight, bias) in enumerate(self.layers):
            x = weight @ x + bias
            if i + 1 < len(self.layers):
                x = act(x)
        return 1 / (1 + np.exp(x[1] - x[0]))


class PCG:
    """PCG-DXSM with 128 bits of state, as Go's math/rand/v2 has it."""

    def __init__(self, high, low):
        self.state = high << 64 | low

    def uniform(self):
        mask = 2**64 - 1
        self.state = (self.state * 0x2360ED051FC65DA44385DF649FCCF645 + 0x5851F42D4C957F2D14057B7EF767814F) % 2**128
        x, low = self.state >> 64, self.state & mask
        x ^= x >> 32
        x = x * 0xDA942042E4DD58B5 & mask
        x ^= x >> 48
        x = x * (low | 1) & mask
        return (x & 2**53 - 1) / 2**53


class Check:
    def __init__(self, llm, proxy, options, eps):
        self.llm, self.proxy, self.eps = llm, proxy, eps
        self.options = {**proxy.pool, **options}
        self.cutoff = options.get("proxy_cutoff", proxy.cutoff)
        self.draw = PCG(options["seed"], 0x70726F7879).uniform if options.get("proxy_explore") else None
        self.asked = self.close = 0
        self.worst = {"logit": 0.0, "prob": 0.0, "state": 0.0, "accept": 0.0}

    def near(self, what, got, want, within, where):
        error = float(np.max(np.abs(np.asarray(got, float) - np.asarray(want, float))))
        self.worst[what] = max(self.worst[what], error)
        if not error <= within:
            sys.exit(f"{where}: {what} is {got}, NumPy has {want}: {error:.3g} apart, {within:.3g} allowed")

    def weights(self, logits):
        """The tokens from the best, with their weights relative to the first, after temperature and top-k."""
        o = self.options
        order = np.argsort(-logits, kind="stable")[: o["top_k"] or None]
        z = logits[order].astype(float)
        return order, np.exp((z - z[0]) / o["temperature"])

    def ends(self, weights):
        """The pool's size, smallest and largest: with the sums that top-p and min-p compare off by E's effect."""
        o, share = self.options, np.cumsum(weights) / weights.sum()
        slack = np.expm1(2 * self.eps / o["temperature"])
        size = lambda top_p, min_p: min(
            len(weights) if top_p >= 1 else int(np.searchsorted(share, top_p, side="right")) + 1,
            int((weights >= min_p).sum()),
        )
        low, high = o["top_p"] - slack * (1 - o["top_p"]), o["top_p"] + slack * (1 - o["top_p"])
        if o["top_p"] >= 1:
            low = high = 1
        return size(low, o["min_p"] * (1 + slack)), size(high, o["min_p"] / (1 + slack))

    def position(self, number, decisions, before):
        """Checks the decisions of one position, whose pool is that of the state before it. Returns the state after it."""
        logits = self.llm.output @ before
        order, weights = self.weights(logits)
        where = f"position {number}"
        smallest, largest = self.ends(weights)
        n = decisions[0]["pool"]
        if not smallest <= n <= largest:
            sys.exit(f"{where}: a pool of {n}, NumPy's has {smallest} to {largest}")
        self.close += smallest != largest
        slack = np.expm1(2 * self.eps / self.options["temperature"])
        left = 1.0
        for rank, d in enumerate(decisions):
            where = f"position {number}, token {d['token']}"
            if (d["position"], d["rank"], d["pool"]) != (number, rank, n):
                sys.exit(f"{where}: {d}, want position {number}, rank {rank}, pool {n}")
            if d["token"] != order[rank]:
                self.near("logit", logits[d["token"]], logits[order[rank]], 2 * self.eps, where + ", in place of another")
                self.close += 1
            p = np.exp((float(logits[d["token"]]) - float(logits[order[0]])) / self.options["temperature"]) / weights[:n].sum()
            self.near("prob", d["prob"], p, slack * p * (1 - p) + 1e-6, where)
            bound = self.options["proxy_pt"] * (n - rank)
            forced = left <= bound or n - rank == 1 or 0 < self.options["proxy_max_rejections"] <= rank
            if n - rank > 1 and abs(left - bound) <= slack * left * (1 - left) and forced != (d["action"] == "forced"):
                forced, self.close = not forced, self.close + 1
            left -= d["prob"]
            self.action(d, forced, before, where)
        return self.llm.feed([decisions[-1]["token"]])[0]

    def action(self, d, forced, before, where):
        if forced:
            if d["action"] != "forced" or "accept" in d or "features" in d:
                sys.exit(f"{where}: {d}, want a forced token that nobody is asked about")
            return
        self.asked += 1
        x = np.frombuffer(base64.b64decode(d["features"]), "<f2").astype(float)
        prefix = self.proxy.features == "prefix"
        if len(x) != self.llm.width * (1 + prefix):
            sys.exit(f"{where}: {len(x)} features")
        state = before if prefix else self.llm.at(d["token"])
        self.near("state", x[: self.llm.width], state, self.scale(state), where)
        if prefix and not np.array_equal(x[self.llm.width :], self.llm.embedding[d["token"]].astype(np.float16)):
            sys.exit(f"{where}: the features' second half is not the token's embedding")
        p = self.proxy.accept(x)
        self.near("accept", d["accept"], p, 1e-5, where)
        accept = self.draw() < d["accept"] if self.draw else d["accept"] >= self.cutoff
        if d["action"] != ("accept" if accept else "reject"):
            sys.exit(f"{where}: {d['action']} with pi(accept) {d['accept']}")

    def scale(self, state):
        """How far states may lie apart: their float16's last place, and what E is of the logits' size."""
        size = np.abs(self.llm.output[:: len(self.llm.output) // 100] @ state).max()
        return np.abs(state).max() * (2**-11 + 2 * self.eps / size)


def main():
    arguments = argparse.ArgumentParser()
    for name in ("trace", "model", "proxy"):
        arguments.add_argument(name)
    arguments.add_argument("--logits", type=float, default=1e-3)
    a = arguments.parse_args()
    head, *objects = [json.loads(line) for line in open(a.trace)]
    decisions = [d for o in objects for d in o.get("decisions", [])]
    said = objects[-1]["proxy"]
    llm = Llama(a.model)
    c = Check(llm, Proxy(a.proxy), head["options"], a.logits)
    state = llm.feed(head["prompt"])[-1]
    position = 0
    for i, d in enumerate(decisions):
        if d["action"] != "reject":
            first = i - d["rank"]
            state = c.position(position, decisions[first : i + 1], state)
            position += 1
    count = {a: sum(d["action"] == a for d in decisions) for a in ("accept", "reject", "forced")}
    want = {
        "features": c.proxy.features, "proposed": len(decisions), "accepted": count["accept"], "rejected": count["reject"],
        "forced": count["forced"], "forwards": position + (count["reject"] if c.proxy.features == "lookahead" else 0),
    }  # fmt: skip
    if want.items() - said.items() or decisions[-1]["action"] == "reject" or objects[-1]["eval_count"] != position:
        sys.exit(f"the server counts {said} and {objects[-1]['eval_count']} tokens, the trace {want}")
    if c.close * 5 > position:
        sys.exit(f"{c.close} decisions of {position} positions are too close to call: this shows little")
    worst = ", ".join(f"{k} {v:.2g}" for k, v in c.worst.items())
    print(f"{position} tokens, {len(decisions)} decisions, {c.asked} asked, {c.close} too close to call; furthest apart: {worst}")


if __name__ == "__main__":
    main()
