"""Scored files made up at random, as large as is wanted: for tests, benchmarks and pictures.

The texts are words of a list, a token each; both sides begin alike. In a share of the rows the
sides are swapped, as wrong labels are.
"""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.dataset.scored import GROUP, KEY, About, Counts, Job, fitted, joint_schema
from core.losses import TrainingLoss

WORDS = """the a job post offer they were asked about moving home and whether it would be better to
wait until spring for an answer from work because rent in Leeds is high while friends say sorry but
great news travels fast colour harbour labour favour centre theatre never always maybe please thank
you first then finally list of points short long honest rude kind careful quick slow train boat cat
dog tea coffee sugar milk bread salt""".split()
CATEGORIES = "chat", "code", "maths", "safety", "summary"
SWAPPED = 0.08


def about(rows, beta=0.1, objective=None, reference="r", **more):
    """What such a file says of itself."""
    job = Job("p", reference, "float32", "chat template, turn", "s", 9, {}, None, (1, 1), 256)
    return About(
        job, Counts(rows), "made policy", "made reference" if reference else "",
        {"policy": "p"}, beta, objective or TrainingLoss(("sigmoid",)), "made.jsonl", "JSON Lines",
        {"prompt": ("prompt",)}, rows, **more,
    )  # fmt: skip


def table_of(rows, seed=0, longest=60, beginning=12, first=0):
    """A table of pairs."""
    rng = np.random.default_rng(seed)
    words = np.array(WORDS)
    category = rng.integers(len(CATEGORIES), size=rows)
    same = rng.integers(0, beginning + 1, rows)
    lengths = [same + 1 + rng.integers(1, longest, rows) for _ in range(2)]
    ids, texts = [], []
    shared = rng.integers(len(words), size=(rows, beginning))
    for length in lengths:
        own = rng.integers(len(words), size=int(length.sum() - rows))
        ends = np.cumsum(length - 1)
        sides = np.split(own, ends[:-1])
        for side, begin, count in zip(sides, shared, same, strict=True):
            side[:count] = begin[:count]
        ids.append([np.append(side, len(words)) for side in sides])
        texts.append([" ".join(words[side]) for side in sides])
    n = [np.array([len(side) for side in one]) for one in ids]
    quality = rng.normal(0.22, 0.2, rows) + 0.1 * (category == 1) - 0.12 * (category == 3)
    shift, ratios = rng.normal(-0.1, 0.15, (rows, 1)), []
    for side, sign in ((0, 1.0), (1, -1.0)):
        per_token = sign * quality[:, None] + shift + 0.1 * sign * (n[0] > n[1])[:, None]
        ratios.append([np.float32(r + rng.normal(0, 0.3, k)) for r, k in
                       zip(per_token[:, 0], n[side], strict=True)])  # fmt: skip
    swapped = rng.random(rows) < SWAPPED
    for at in np.flatnonzero(swapped):
        for lists in (ids, texts, ratios):
            lists[0][at], lists[1][at] = lists[1][at], lists[0][at]
    reference = [[np.float32(-rng.exponential(1.5, len(it))) for it in one] for one in ids]
    policy = [
        [np.float32(a + b) for a, b in zip(*both, strict=True)]
        for both in zip(reference, ratios, strict=True)
    ]
    parts = [
        next(
            (i for i, (a, b) in enumerate(zip(*both, strict=False)) if a != b), min(map(len, both))
        )
        for both in zip(*ids, strict=True)
    ]
    prompts = rng.integers(len(words), size=(rows, 14))
    columns = {
        "row": np.arange(first, first + rows),
        "id": [f"pair {first + i}" for i in range(rows)],
        "prompt": [" ".join(words[it]) + "?" for it in prompts],
        "chosen": texts[0], "rejected": texts[1],
        "turns": [False] * rows, "settings": [None] * rows, "wrong": [None] * rows,
        "parts": parts, "note": [""] * rows,
    }  # fmt: skip
    for at, side in enumerate(("chosen", "rejected")):
        sums = [
            float(a.sum(dtype=np.float64) - b.sum(dtype=np.float64))
            for a, b in zip(policy[at], reference[at], strict=True)
        ]
        columns |= {
            f"ids_{side}": ids[at], f"policy_{side}": policy[at],
            f"reference_{side}": reference[at], f"log_ratio_{side}": sums,
            f"length_{side}": [len(it) for it in ids[at]],
        }  # fmt: skip
    schema = joint_schema([])
    columns |= {name: [None] * rows for name in schema.names if name not in columns}
    arrays = {field.name: pa.array(columns[field.name], field.type) for field in schema}
    arrays["source.category"] = pa.array([CATEGORIES[c] for c in category])
    arrays["source.rating"] = pa.array(rng.integers(1, 6, rows))
    arrays["source.checked"] = pa.array(rng.random(rows) < 0.5)
    arrays["source.comment"] = pa.array([f"note {i} of {rows}" for i in range(rows)])
    return pa.table(arrays)


def write_scored(path, rows, seed=0, said=None, at_once=GROUP, **more):
    """Write such a file and return its path."""
    tables = [
        table_of(min(at_once, rows - first), seed + first, first=first, **more)
        for first in range(0, rows, at_once)
    ]
    return write_table(path, tables, said or about(rows))


def write_table(path, tables, said):
    """Write tables as a scored file, a row group each, and return its path."""
    import msgspec

    wanted = joint_schema(table.schema for table in tables)
    with pq.ParquetWriter(path, wanted, compression="zstd") as writer:
        for table in tables:
            writer.write_table(fitted(table, wanted))
        writer.add_key_value_metadata({KEY: msgspec.json.encode(said)})
    return path
