#!/usr/bin/env python3
"""Times decoding with PyTorch transformers, one reply at a time with hidden states.

That is how published code for token-level accept/reject runs its environment. Usage:
torch_decode.py MODEL.gguf. Prints tokens a second by number format as JSON.
"""
import json
import os
import sys
import time

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

TOKENS, PROMPTS = 44, ["Tell me about your day.", "How do I bake bread?", "Why is the sky blue?", "How can I save money?"]

folder, name = os.path.split(os.path.abspath(sys.argv[1]))
tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)


def decode(model, prompt):
    """Greedy decoding with a cache; every step gives the final hidden state."""
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    cache = None
    for _ in range(TOKENS):
        out = model(ids, past_key_values=cache, use_cache=True, output_hidden_states=True)
        cache = out.past_key_values
        assert out.hidden_states[-1].shape[1] == ids.shape[1]
        ids = out.logits[:, -1:].argmax(-1)


# Dense weights, as published code has them. Newer transformers would keep them packed, which is several times slower on a CPU.
dense = {}
if hasattr(transformers, "GgufConfig"):
    dense = {"quantization_config": transformers.GgufConfig(dequantize=True)}

speeds = {}
for dtype in (torch.float32, torch.bfloat16):
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=dtype, **dense).eval()
    with torch.inference_mode():
        decode(model, PROMPTS[0])
        start = time.perf_counter()
        for prompt in PROMPTS:
            decode(model, prompt)
        speeds[str(dtype).removeprefix("torch.")] = TOKENS * len(PROMPTS) / (time.perf_counter() - start)
    del model
print(json.dumps(speeds))
