"""Writes the corpus that fuzzing starts from: small, valid files of every kind.

    python fuzz/seeds.py

Files that were found by fuzzing, or made by hand to be nasty, lie beside these; this program
leaves them alone. All of them were made by ourselves.
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save as tensors_of
from scipy.io import savemat

CORPUS = Path(__file__).parent / "corpus"
ROWS = np.arange(12, dtype=np.float32).reshape(3, 4) / 8
RUN = {
    "recipe": "r", "notes": ["a leak"], "target": {"H": 50.0}, "seeds": [0], "seconds": 1.5,
    "summary": {n: {"mean": 0.5, "std": 0.1, "ci95": 0.2, "runs": [0.5]} for n in ("S", "U", "H")},
    "variants": {"stacked": {"H": {"mean": 0.5, "std": None, "ci95": None, "runs": [0.5]}}},
    "runs": [{"seed": 0, "facts": {"choice": {"validation_H": [0.1]}}, "per_class": {"gull": 0.5}}],
    "data": {"a.mat": "00"}, "versions": {"mmalign": "0.1.0"}, "unseen": 1, "seen": 1,
}  # fmt: skip
FIGURES = {
    "side": "unseen", "classes": ["tern"],
    "curves": [{"seed": 0, "points": [[0.0, 0.5], [0.5, 0.25], [0.75, 0.0]]}],
    "map": {"seed": 0, "latent": 4, "explained": [0.5, 0.25], "of": 2,
            "levels": {"image": "sample"}, "classes": {"0": "gull", "1": "tern"},
            "points": {"image": [[0, 1.5, 2, 3], [1, 0, 0, 1]]}},
}  # fmt: skip
NAMES = ["a/1.jpg", "a/2.jpg", "b/1.jpg"]
CLASSES = ["gull", "tern", "swift"]
TINY = """
[dataset]
use = "synthetic"
samples = 4
seen = 4
validation = 2
unseen = 2
sample_views = [6]
class_views = [5]

[modality.image]
[modality.attributes]
[method]
use = "eszsl"
gamma = 1.0
lam = 1.0
"""
SWEEP = """
[dataset]
use = "synthetic"
[modality.image]
[modality.attributes]
hidden = [8, 8]
[method]
use = "aligned-vae"
latent = 8
[loss.cross]
weight = { to = 2.37, start = 21, end = 75 }
[head]
use = "softmax"
[protocol]
split = "test"
[report]
target = { H = 52.4, source = "a table" }
[run]
seeds = [0, 1]
[sweep]
"method.latent" = [8, 16]
[sweep.cells.other]
"head.epochs" = 3
"""
TUNE = SWEEP.partition("[sweep]")[0] + '[tune]\nmetric = "H"\n"method.latent" = [8, 16]\n'
REPORT = {
    "recipe": "r", "seconds": 1.0, "target": {"H": 50.0}, "notes": ["a note"], "variants": {},
    "summary": {"H": {"runs": [0.5, 0.6], "mean": 0.55}},
    "runs": [{"seed": 0, "facts": {"parameters": 3}}, {"seed": 1, "facts": {}}],
}  # fmt: skip
RESULTS = """cell,method.latent,seed,variant,S,H,published_H,seconds,folder
a,8,0,,0.5,0.4,0.6,1.0,cells/a/seed-0
a,8,1,,0.5,0.5,0.6,1.0,cells/a/seed-1
"""


class Trap:
    """Whoever unpickles it has lost."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('unpickled')",)


def npy(values: Any, **how: Any) -> bytes:
    """An array as np.save writes it."""
    file = io.BytesIO()
    np.save(file, values, **how)
    return file.getvalue()


def mats() -> dict[str, bytes]:
    """MATLAB files, plain and compressed."""
    names = np.array([[name] for name in CLASSES], dtype=object)
    whole = {
        "att": np.eye(3), "features": ROWS.T.astype(np.float64), "allclasses_names": names,
        "labels": np.array([[1], [2], [3]], np.uint8), "trainval_loc": np.array([[1.0, 2.0]]),
    }  # fmt: skip
    made = {}
    for name, compress in (("plain", False), ("packed", True)):
        file = io.BytesIO()
        savemat(file, whole, do_compression=compress)
        made[f"{name}.mat"] = file.getvalue()
    old = io.BytesIO()
    savemat(old, {"att": np.eye(3)}, format="4")
    cells = io.BytesIO()
    savemat(cells, {"att": {"a": 1.0}, "image_files": np.array([["x", 1.0]], dtype=object)})
    return {**made, "old.mat": old.getvalue(), "struct.mat": cells.getvalue()}


def parquets() -> dict[str, bytes]:
    """Parquet files: columns, lists, names; and one that asks to be unpickled."""
    evil = pa.field("a", pa.float32(), metadata={
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": pickle.dumps(Trap()),
    })  # fmt: skip
    numbers = pa.array([0.5, 1.0, None], pa.float32())
    tables = {
        "columns": pa.table({"a": numbers, "b": pa.array([1, 2, 3]), "sample": NAMES}),
        "lists": pa.table({"name": NAMES, "features": pa.array(list(map(list, ROWS.tolist())))}),
        "fixed": pa.table({
            "features": pa.FixedSizeListArray.from_arrays(pa.array(ROWS.ravel()), 4)
        }),
        "pickled": pa.table([numbers], schema=pa.schema([evil])),
    }  # fmt: skip
    made = {}
    for name, table in tables.items():
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="none" if name == "lists" else "snappy")
        made[f"{name}.parquet"] = sink.getvalue().to_pybytes()
    return made


def arrows() -> dict[str, bytes]:
    """Arrow streams, as save_to_disk writes them."""
    table = pa.table({"features": pa.array(list(map(list, ROWS.tolist())), pa.list_(pa.float32()))})
    made = {}
    for name, compression in (("plain", None), ("packed", "zstd")):
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
            writer.write_table(table, 2)
        made[f"{name}.arrow"] = sink.getvalue().to_pybytes()
    return made


def vectors() -> dict[str, bytes]:
    """Word vectors in each format."""
    text = b"2 3\ngull 1 2 3\nred 0.5 -1 2e-3\n"
    binary = b"2 3\n" + b"".join(
        word + b" " + struct.pack("<3f", *ROWS[0, :3]) + b"\n" for word in (b"gull", b"red")
    )
    return {
        "text": text, "glove": text.partition(b"\n")[2], "binary": binary,
        "text.gz": gzip.compress(text, mtime=0), "binary.gz": gzip.compress(binary, mtime=0),
        "pickle": pickle.dumps(Trap()),
    }  # fmt: skip


def archives() -> dict[str, bytes]:
    """Zip archives, one with names that lead out of it."""
    made = {}
    for name, files in {
        "sound": {"in/a.mat": b"a" * 99, "in/b.mat": b"b" * 99},
        "escaping": {"../../CUB/a.mat": b"a", "/CUB/b.mat": b"b"},
    }.items():
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
            for path, content in files.items():
                opened.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), content)
        made[f"{name}.zip"] = file.getvalue()
    return made


def model() -> dict[str, bytes]:
    """A trained model without its digests, so that changes come through to what reads it."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "tiny.toml").write_text(TINY)
        command = [sys.executable, "-m", "mmalign", "run", "tiny.toml"]
        subprocess.run(command, cwd=place, check=True, capture_output=True)
        (bundle,) = Path(place).glob("runs/tiny/*/model")
        config = json.loads((bundle / "config.json").read_text())
        del config["sha256"]
        kept = ("format", "recipe", "signature", "unit", "seed", "plugins")
        small = {key: config[key] for key in kept if key in config}
        weights = (bundle / "model.safetensors").read_bytes()
        return {"config.json": json.dumps(small).encode(), "model.safetensors": weights}


def corpus() -> dict[str, dict[str, bytes]]:
    """Every seed, by target and name."""
    labelled = {"names": json.dumps(NAMES), "backbone": '{"use": "onnx"}', "skipped": "[]"}
    lists = {"train": ["n00000001"], "2-hops": ["n00000002"], "all": ["n00000002"]}
    done = {"run": "run", "seconds": 1.5, "reuse": "", "version": "0"}
    bundle = model()
    return {
        "recipe": {"tiny.toml": TINY.encode(), "sweep.toml": SWEEP.encode(),
                   "tune.toml": TUNE.encode()},
        "mat": mats(),
        "npy": {"rows": npy(ROWS), "labels": npy(np.array([0, 1, 2])),
                "split": npy(np.array([[0, 1], [1, 0]], np.int8)),
                "fortran": npy(np.asfortranarray(ROWS.astype(">f8"))),
                "records": npy(np.zeros(2, [("a", "f4"), ("b", "O")]), allow_pickle=True),
                "objects": npy(np.array([[Trap()]], dtype=object), allow_pickle=True),
                "pickle": pickle.dumps(Trap())},
        "safetensors": {
            "named": tensors_of({"features": ROWS, "stamps": np.ones((3, 2), np.int64)}, labelled),
            "one": tensors_of({"rows": ROWS.astype(np.float16)}, {"names": json.dumps(CLASSES)}),
            "kept": tensors_of({"embeddings": ROWS}),
            "pickle": pickle.dumps(Trap())},
        "parquet": parquets(),
        "arrow": arrows(),
        "table": {"classes.csv": b'class,red,description\ngull,1,"a, b"\ntern,2.5,c\n',
                  "samples.csv": b"class,sample,split\ngull,a/1.jpg,train\ntern,a/2.jpg,test\n",
                  "texts.csv": b"class,text\ngull,white\ngull,grey\n",
                  "counts.csv": b"wnid,images\nn00000001,5\n", "results.csv": RESULTS.encode()},
        "words": vectors(),
        "ids": {"ids.txt": b"n00000001\nn00000002\nn00000003\n",
                "names.txt": b"n00000001\tgull\nn00000002\ttern, bird\n"},
        "told": {"report.json": json.dumps(REPORT).encode(),
                 "lists.json": json.dumps(lists).encode(),
                 "done.json": json.dumps(done | REPORT).encode(),
                 "counts.json": b'{"n00000001": 5}',
                 "state.json": b'{"_data_files": [{"filename": "data.arrow"}]}',
                 "part.json": b'{"url": "http://x/y", "total": 9, "validator": "z"}'},
        "page": {"report.json": json.dumps(RUN).encode(),
                 "figures.json": json.dumps(FIGURES).encode(),
                 "metrics.jsonl": b'{"seed": 0, "stage": "head", "epoch": 1, "loss": 2.5}\n',
                 "confusion.csv": b"seed,true,predicted,count\n0,gull,tern,2\n0,tern,tern,3\n",
                 "sweep.json": b'{"recipe": "r", "jobs": 2, "done": 1, "failed": [["a", "b"]],'
                 b' "notes": ["n"]}', "results.csv": RESULTS.encode()},
        "config": {"config.json": bundle["config.json"]},
        "weights": {"model.safetensors": bundle["model.safetensors"]},
        "bundle": bundle,
        "archive": archives(),
    }  # fmt: skip


if __name__ == "__main__":
    for target, files in corpus().items():
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (CORPUS / target / name).write_bytes(content)
