#!/usr/bin/env python3
"""Makes every decision of a traced reply again, with NumPy alone.

    python check_trace.py TRACE MODEL PROXY [--logits E] [--states S] [--from-trace]

An independent reading of docs and files: the LLM's forward pass (llama), its
tokens' embeddings, the pool, the rule that forces a token, the proxy's network,
exploration and the counts are computed here from the two GGUF files and compared
with what the server said. Nothing is shared with the Go code. TRACE is JSON
lines: first {"prompt": [token ids], "options": the request's}, then the streamed
objects of /api/generate as they came.

E is how far a logit may be off, S a value of a final state, relative to the
state's largest; what probabilities may be off by follows from E. In a float32
model the backend differs from NumPy in the last bits of its sums, which rounding
keys and values to float16 makes somewhat more of. A quantised model multiplies
activations that are rounded to 8 bits, block by block: over 30 layers two
summation orders drift apart by 3 to 5 % of a state (measured, SmolLM2 in Q4_1),
too much to tell pools. There --from-trace takes a position's logits from the
state that the trace has for it, where the proxy was asked, and holds that state
against NumPy's by S alone.

Where E decides (two candidates' order, the pool's end, p_t) the trace's choice is
taken and counted as too close to call. What needs no logits (the embedding's half
of the features, pi(accept) of the traced features, actions, forced tokens given
the traced probabilities, counts) is exact or float32.
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


def half(x):
    return x.astype(np.float16).astype(np.float32)


def bytes8(x):
    """What GGML multiplies a quantised matrix with: blocks of 32 rounded to 8 bits and a scale."""
    blocks = x.reshape(*x.shape[:-1], -1, 32)
    scale = np.abs(blocks).max(axis=-1, keepdims=True) / 127
    return (np.rint(blocks / np.where(scale, scale, 1)) * half(scale)).reshape(x.shape)


class Matrix:
    def __init__(self, file, name):
        self.rows, self.quantised = file.tensor(name), file.where[name][0] in (Q4_1, Q8_0)

    def __call__(self, x):
        return (bytes8(x) if self.quantised else x) @ self.rows.T


class Llama:
    """The llama architecture on GGML's CPU backend, one sequence: attention multiplies in float16."""

    def __init__(self, path):
        self.file = GGUF(path)
        key = lambda name: self.file.kv["llama." + name]
        self.heads, self.kv_heads = key("attention.head_count"), key("attention.head_count_kv")
        self.width, self.eps = key("embedding_length"), key("attention.layer_norm_rms_epsilon")
        self.head = self.file.kv.get("llama.attention.key_length", self.width // self.heads)
        self.rate = key("rope.freq_base") ** (-np.arange(0, self.head, 2) / self.head)
        norms, matrices = ["attn_norm", "ffn_norm"], ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
        self.blocks = [
            {n: self.file.tensor(f"blk.{i}.{n}.weight") for n in norms}
            | {n: Matrix(self.file, f"blk.{i}.{n}.weight") for n in matrices}
            for i in range(key("block_count"))
        ]
        self.embedding = self.file.tensor("token_embd.weight")
        self.norm = self.file.tensor("output_norm.weight")
        self.output = Matrix(self.file, "output.weight" if "output.weight" in self.file.where else "token_embd.weight")
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
            q = half(self.rotate(w["attn_q"](h).reshape(n, self.heads, self.head), positions))
            k = half(self.rotate(w["attn_k"](h).reshape(n, self.kv_heads, self.head), positions))
            v = half(w["attn_v"](h).reshape(n, self.kv_heads, self.head))
            self.keys[i], self.values[i] = np.concatenate([self.keys[i], k]), np.concatenate([self.values[i], v])
            group = self.heads // self.kv_heads
            k, v = (np.repeat(y[i], group, axis=1) for y in (self.keys, self.values))
            score = np.einsum("nhd,mhd->hnm", q, k) / np.sqrt(self.head) + hidden_from
            score = np.exp(score - score.max(axis=-1, keepdims=True))
            score = half(score / score.sum(axis=-1, keepdims=True))
            x = x + w["attn_output"](np.einsum("hnm,mhd->nhd", score, v).reshape(n, -1))
            h = self.rms(x, w["ffn_norm"])
            gate = w["ffn_gate"](h)
            x = x + w["ffn_down"](gate / (1 + np.exp(-gate)) * w["ffn_up"](h))
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
    def __init__(self, llm, proxy, options, limits):
        self.llm, self.proxy, self.limits = llm, proxy, limits
        self.options = {**proxy.pool, **options}
        self.cutoff = options.get("proxy_cutoff", proxy.cutoff)
        self.draw = PCG(options["seed"], 0x70726F7879).uniform if options.get("proxy_explore") else None
        # By how much of itself a weight may be off for its logits' sake.
        self.slack = np.expm1(2 * limits.logits / self.options["temperature"])
        self.asked = self.pools = self.close = 0
        self.worst = {"logit": 0.0, "prob": 0.0, "state": 0.0, "accept": 0.0}

    def near(self, what, got, want, within, where):
        error = float(np.max(np.abs(np.asarray(got, float) - np.asarray(want, float))))
        self.worst[what] = max(self.worst[what], error)
        if not error <= within:
            sys.exit(f"{where}: {what} is {got}, NumPy has {want}: {error:.3g} apart, {within:.3g} allowed")

    def sizes(self, weights):
        """The pool's size, smallest and largest: with the sums that top-p and min-p compare off by E's effect."""
        o, share = self.options, np.cumsum(weights) / weights.sum()
        slack = self.slack * (1 - o["top_p"])
        end = lambda top_p: len(weights) if o["top_p"] >= 1 else np.searchsorted(share, top_p, side="right") + 1
        size = lambda top_p, min_p: int(min(end(top_p), (weights >= min_p).sum()))
        return size(o["top_p"] - slack, o["min_p"] * (1 + self.slack)), size(o["top_p"] + slack, o["min_p"] / (1 + self.slack))

    def position(self, number, decisions, state):
        """Checks a position's decisions. state is the final state before it, None where the trace shows none."""
        if state is not None:
            self.pool(number, decisions, self.llm.output(state))
        n, left = decisions[0]["pool"], 1.0
        for rank, d in enumerate(decisions):
            where = f"position {number}, token {d['token']}"
            if (d["position"], d["rank"], d["pool"]) != (number, rank, n):
                sys.exit(f"{where}: {d}, want position {number}, rank {rank}, pool {n}")
            bound = self.options["proxy_pt"] * (n - rank)
            forced = left <= bound or n - rank == 1 or 0 < self.options["proxy_max_rejections"] <= rank
            if forced != (d["action"] == "forced"):
                sys.exit(f"{where}: {d['action']} with {left} left in {n - rank} candidates")
            left -= d["prob"]

    def pool(self, number, decisions, logits):
        """Checks what is proposed, in which order and with which probabilities."""
        self.pools += 1
        o = self.options
        order = np.argsort(-logits, kind="stable")[: o["top_k"] or None]
        z = logits.astype(float) - float(logits[order[0]])
        weights = np.exp(z[order] / o["temperature"])
        smallest, largest = self.sizes(weights)
        n = decisions[0]["pool"]
        if not smallest <= n <= largest:
            sys.exit(f"position {number}: a pool of {n}, NumPy's has {smallest} to {largest}")
        close = smallest != largest
        for rank, d in enumerate(decisions):
            where = f"position {number}, token {d['token']}"
            if d["token"] != order[rank]:
                self.near("logit", z[d["token"]], z[order[rank]], 2 * self.limits.logits, where + " in place of another")
                close = True
            p = np.exp(z[d["token"]] / o["temperature"]) / weights[:n].sum()
            self.near("prob", d["prob"], p, self.slack * p * (1 - p) + 1e-6, where)
        self.close += close

    def features(self, d, before):
        """Checks a decision that the proxy made; before is the final state before the candidate."""
        where = f"position {d['position']}, token {d['token']}"
        if d["action"] == "forced":
            if "accept" in d or "features" in d:
                sys.exit(f"{where}: {d}, but nobody is asked about a forced token")
            return
        self.asked += 1
        x = seen(d)
        prefix = self.proxy.features == "prefix"
        if len(x) != self.llm.width * (1 + prefix):
            sys.exit(f"{where}: {len(x)} features")
        state = before if prefix else self.llm.at(d["token"])
        size = np.abs(state).max()
        self.near("state", x[: self.llm.width] / size, state / size, self.limits.states + 2**-11, where)
        if prefix and not np.array_equal(x[self.llm.width :], self.llm.embedding[d["token"]].astype(np.float16)):
            sys.exit(f"{where}: the features' second half is not the token's embedding")
        self.near("accept", d["accept"], self.proxy.accept(x), 1e-5, where)
        accept = self.draw() < d["accept"] if self.draw else d["accept"] >= self.cutoff
        if d["action"] != ("accept" if accept else "reject"):
            sys.exit(f"{where}: {d['action']} with pi(accept) {d['accept']}")

    def run(self, prompt, decisions):
        """Follows a reply; returns its tokens."""
        state, tokens = self.llm.feed(prompt)[-1], 0
        traced = None  # the state before the position, by the trace
        while decisions:
            n = 1 + next((i for i, d in enumerate(decisions) if d["action"] != "reject"), len(decisions))
            here, decisions = decisions[:n], decisions[n:]
            if here[-1]["action"] == "reject":
                sys.exit("the reply ends with a rejection")
            if self.proxy.features == "prefix":
                traced = next((seen(d)[: self.llm.width] for d in here if "features" in d), None)
            before = traced.astype(np.float32) if traced is not None else None
            self.position(tokens, here, before if self.limits.from_trace else state)
            for d in here:
                self.features(d, state)
            traced = seen(here[-1]) if self.proxy.features == "lookahead" and "features" in here[-1] else None
            state = self.llm.feed([here[-1]["token"]])[0]
            tokens += 1
        return tokens


def seen(d):
    return np.frombuffer(base64.b64decode(d["features"]), "<f2").astype(float)


def main():
    arguments = argparse.ArgumentParser()
    for name in ("trace", "model", "proxy"):
        arguments.add_argument(name)
    arguments.add_argument("--logits", type=float, default=1e-3)
    arguments.add_argument("--states", type=float, default=1e-3)
    arguments.add_argument("--from-trace", action="store_true")
    limits = arguments.parse_args()
    head, *objects = [json.loads(line) for line in open(limits.trace)]
    decisions = [d for o in objects for d in o.get("decisions", [])]
    check = Check(Llama(limits.model), Proxy(limits.proxy), head["options"], limits)
    tokens = check.run(head["prompt"], decisions)
    count = {a: sum(d["action"] == a for d in decisions) for a in ("accept", "reject", "forced")}
    want = {
        "features": check.proxy.features, "proposed": len(decisions), "accepted": count["accept"], "rejected": count["reject"],
        "forced": count["forced"], "forwards": tokens + (count["reject"] if check.proxy.features == "lookahead" else 0),
    }  # fmt: skip
    said = objects[-1]["proxy"]
    if want.items() - said.items() or objects[-1]["eval_count"] != tokens:
        sys.exit(f"the server counts {said} and {objects[-1]['eval_count']} tokens, the trace {want}")
    if check.pools * 3 < tokens or check.pools - check.close < 3 or check.asked < tokens // 2 or not count["reject"]:
        sys.exit(f"this shows little: {check.pools} pools, {check.close} too close to call, {check.asked} asked, {want}")
    worst = ", ".join(f"{k} {v:.2g}" for k, v in check.worst.items())
    print(
        f"{tokens} tokens, {len(decisions)} decisions, {check.asked} by the proxy, {check.pools} pools, "
        f"{check.close} of them too close to call somewhere; furthest apart: {worst}"
    )


if __name__ == "__main__":
    main()
