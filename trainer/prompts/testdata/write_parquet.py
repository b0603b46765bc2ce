#!/usr/bin/env python3
"""Writes the Parquet fixtures beside it, as data sets on the Hub have them. Needs pyarrow.

    python3 testdata/write_parquet.py
"""

import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

here = pathlib.Path(__file__).parent

text = pa.table({
    "prompt": ["What is rain?", "Größe?", "What is snow?"],
    "id": pa.array([7, None, 9], pa.int64()),
    "split": ["train", None, "test"],
    "label": [{"answer": 1.5, "tags": ["a", "b"]}, None, {"answer": 2.0, "tags": []}],
    "unused": [b"\x00", b"\x01", None],
    "score": pa.array([float("nan"), float("inf"), 0.5], pa.float32()),
})
pq.write_table(text, here / "text.parquet", compression="zstd", row_group_size=2)

turn = pa.struct([("content", pa.string()), ("role", pa.string())])
chat = pa.table({
    "messages": pa.array([
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Tea or coffee?"}, {"role": "assistant", "content": "Tea."}],
        [{"role": "user", "content": "Hello"}],
    ], pa.list_(turn)),
    "score": [0.5, 1.0],
})
pq.write_table(chat, here / "messages.parquet", compression="snappy")

pairs = pa.table({
    "chosen": ["\n\nHuman: What is rain?\n\nAssistant: Water.", "\n\nHuman: Hello\n\nAssistant: Hi.\n\nHuman: Tea?\n\nAssistant: Yes."],
    "rejected": ["\n\nHuman: What is rain?\n\nAssistant: No.", "\n\nHuman: Hello\n\nAssistant: Hi.\n\nHuman: Tea?\n\nAssistant: No."],
})
pq.write_table(pairs, here / "pairs.parquet", compression="none", use_dictionary=False, data_page_version="2.0")
