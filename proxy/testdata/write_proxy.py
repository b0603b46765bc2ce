#!/usr/bin/env python3
"""Writes two small proxy files with gguf-py, and what NumPy says they answer.

    pip install gguf==0.19.0 numpy==2.4.6
    python write_proxy.py

An independent writer and an independent forward pass: the Go tests load what
this writes and compare. Nothing here is shared with the Go code but the table
of keys and tensors. The output is deterministic; the files are committed and
are not to be edited by hand. Number types differ between the two files on
purpose: a reader has to take any.
"""

import json
import pathlib

import gguf
import numpy as np

HERE = pathlib.Path(__file__).parent
D = 8  # embedding length of the imaginary LLM
HIDDEN = 16
VOCAB = 100


def writer(name, features, activation):
    w = gguf.GGUFWriter(HERE / name, "proxy_rlhf")
    w.add_string("general.type", "adapter")
    w.add_string("adapter.type", "proxy")
    w.add_uint32("proxy_rlhf.version", 1)
    w.add_string("proxy_rlhf.features", features)
    w.add_uint32("proxy_rlhf.embedding_length", D)
    w.add_string("proxy_rlhf.activation", activation)
    w.add_string("proxy_rlhf.base.architecture", "llama")
    w.add_uint32("proxy_rlhf.base.embedding_length", D)
    w.add_uint32("proxy_rlhf.base.vocab_size", VOCAB)
    return w


def finish(w, tensors):
    for name, values in tensors.items():
        w.add_tensor(name, values)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def forward(tensors, x, activation):
    """pi(accept) in float64, as PyTorch would compute it."""
    t = {name: values.astype(np.float64) for name, values in tensors.items()}
    if "proxy.norm.weight" in t:
        x = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
        x = x * t["proxy.norm.weight"] + t["proxy.norm.bias"]
    h = activation(t["proxy.0.weight"] @ x + t["proxy.0.bias"])
    logits = t["proxy.1.weight"] @ h + t["proxy.1.bias"]
    p = np.exp(logits - logits.max())
    return float(p[0] / p.sum())


def linear(rng, out, inner, dtype):
    """Weights of a size that spreads pi(accept) over (0, 1)."""
    weight = rng.normal(0, 2 / np.sqrt(inner), (out, inner)).astype(dtype)
    return weight, rng.normal(0, 0.5, out).astype(dtype)


def layers(rng, width, dtype):
    t = {}
    t["proxy.0.weight"], t["proxy.0.bias"] = linear(rng, HIDDEN, width, dtype)
    t["proxy.1.weight"], t["proxy.1.bias"] = linear(rng, 2, HIDDEN, dtype)
    return t


def cases(rng, tensors, width, activation):
    xs = [rng.normal(0, 1, width).astype(np.float32) for _ in range(8)]
    return [{"features": x.tolist(), "accept": forward(tensors, x.astype(np.float64), activation)} for x in xs]


def relu(x):
    return np.maximum(x, 0)


def silu(x):
    return x / (1 + np.exp(-x))


def lookahead(rng):
    w = writer("lookahead_f32.gguf", "lookahead", "relu")
    w.add_array("proxy_rlhf.feed_forward_length", [HIDDEN])
    w.add_float32("proxy_rlhf.p_t", 0.01)
    w.add_float32("proxy_rlhf.temperature", 0.8)
    w.add_float32("proxy_rlhf.top_p", 0.9)
    w.add_uint32("proxy_rlhf.top_k", 0)
    w.add_string("proxy_rlhf.base.digest", "sha256:" + "0" * 64)
    w.add_string("proxy_rlhf.training.algorithm", "ppo")
    w.add_uint64("proxy_rlhf.training.steps", 768)
    w.add_float32("proxy_rlhf.training.score", 0.71)
    w.add_bool("proxy_rlhf.training.dense", True)
    tensors = layers(rng, D, np.float32)
    finish(w, tensors)
    return cases(rng, tensors, D, relu)


def prefix(rng):
    w = writer("prefix_f16_norm.gguf", "prefix", "silu")
    w.add_uint32("proxy_rlhf.feed_forward_length", HIDDEN)  # a scalar is fine
    w.add_float64("proxy_rlhf.p_t", 0.05)
    w.add_int32("proxy_rlhf.temperature", 1)
    w.add_float64("proxy_rlhf.top_p", 0.95)
    w.add_uint64("proxy_rlhf.top_k", 40)
    w.add_float32("proxy_rlhf.min_p", 0.02)
    w.add_float64("proxy_rlhf.cutoff", 0.35)
    w.add_int32("proxy_rlhf.max_rejections", 3)
    tensors = layers(rng, 2 * D, np.float16)
    tensors["proxy.norm.weight"] = rng.normal(1, 0.2, 2 * D).astype(np.float16)
    tensors["proxy.norm.bias"] = rng.normal(0, 0.2, 2 * D).astype(np.float16)
    finish(w, tensors)
    return cases(rng, tensors, 2 * D, silu)


def main():
    rng = np.random.default_rng(20240306)
    expected = {"lookahead_f32.gguf": lookahead(rng), "prefix_f16_norm.gguf": prefix(rng)}
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
