"""Quantization side by side: tinycomp, TensorFlow's converter and ai-edge-quantizer, from the same calibration data.

    python benchmarks/quantize.py [--models kws,ic,vww,ad,magic_wand] [--cases 200] [--seeds 0,1] [--peers PYTHON]
                                  [--weights LIMIT]

Figures are taken on cases that nobody calibrated with: SQNR of the logits against the float model (of all cases
together, and the median case's), share of equal decisions, accuracy where there are labels. A seed is another choice of
cases; of the labelled ones 0 is their own order and −1 that order backwards. PYTHON is an interpreter with tensorflow
and ai-edge-quantizer; without it the peers' rows stay out. LIMIT adds mixed precision under it. Prints the tables of
docs/howto/quantize.md, and asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from quantize_data import Floats, inputs
from quantize_peers import PEERS

from tinycomp import interpret
from tinycomp.errors import TinycompError
from tinycomp.frontend import ceiling_of
from tinycomp.ir import Graph
from tinycomp.quantize import data
from tinycomp.quantize.accuracy import logits_of
from tinycomp.quantize.calibrate import batches
from tinycomp.quantize.convert import Options, convert
from tinycomp.quantize.to_int8 import as_inputs
from tinycomp.tflite import reader, writer

SHARED = Path(__file__).resolve().parents[2] / "shared"
MODELS = ("kws", "ic", "vww", "ad", "magic_wand")
COLUMNS = {
    "sqnr_db": "SQNR, dB", "median_db": "median case, dB", "agreement": "equal decisions", "top1": "top-1",
    "top1_float": "top-1, float", "bytes": "bytes", "seconds": "CPU seconds",
}  # fmt: skip


def outputs(graph: Graph, x: Floats) -> tuple[Any, Any]:
    """Real logits and answers of a graph, [cases, classes] each."""
    logits, answers = [], []
    through = graph.producer(graph.outputs[0])
    plain = through.inputs[0] if through and through.op in ("dequantize", "quantize") else graph.outputs[0]
    for batch in batches(graph, [as_inputs(graph, [x])[0][:, None]]):
        found = interpret.run(graph, batch.inputs, keep=True)
        for store, name in ((logits, logits_of(graph, plain)), (answers, graph.outputs[0])):
            t, value = graph.tensors[name], found[name].astype(np.float64)
            real = value if t.dtype == "float32" else (value - t.zero_point) * t.scale
            store.append(real.reshape(batch.cases, -1))
    return np.concatenate(logits), np.concatenate(answers)


def figures(content: bytes, wanted: Any, x: Floats, y: Any) -> dict[str, Any]:
    """Figures of one quantized model on the cases held back."""
    graph = reader.read(content)
    logits, answers = outputs(graph, x)
    rest = ((wanted - logits) ** 2).sum(axis=1)
    decided = wanted.argmax(axis=1)
    autoencoder = graph.tensors[graph.outputs[0]].shape == graph.tensors[graph.inputs[0]].shape
    return {
        "bytes": len(content),
        "sqnr_db": round(float(10 * np.log10((wanted**2).sum() / rest.sum())), 2),
        "median_db": round(float(np.median(10 * np.log10((wanted**2).sum(axis=1) / rest))), 2),
        "agreement": None if autoencoder else round(float((decided == answers.argmax(axis=1)).mean()), 4),
        "top1": None if y is None else round(float((answers.argmax(axis=1) == y).mean()), 4),
        "top1_float": None if y is None else round(float((decided == y).mean()), 4),
    }


def compared(model: str, cases: int, seed: int, python: str | None, weights: str | None) -> dict[str, Any]:
    """Everybody's figures for one model."""
    path = SHARED / "models" / f"{model}_float.tflite"
    graph = reader.load(path)
    x, y = inputs(model, cases + 300, SHARED, seed)
    fresh, labels = x[cases:], None if y is None else y[cases:]
    wanted, _ = outputs(graph, fresh)
    found: dict[str, Any] = {}
    given = data.from_cases(list(x[:cases]), graph)
    mixed = {} if weights is None else {"mixed": Options(ceiling=ceiling_of(weights))}
    for name, options in {"tinycomp": Options(), "no corrections": Options(corrections=frozenset()), **mixed}.items():
        start = time.process_time()
        made = writer.write(convert(graph, given, options).graph)
        found[name] = {**figures(made, wanted, fresh, labels), "seconds": round(time.process_time() - start, 1)}
    if python:
        found |= peers(path, x[:cases], python, lambda made: figures(made, wanted, fresh, labels))
    return found


def peers(path: Path, x: Floats, python: str, judged: Any) -> dict[str, Any]:
    """The peers' figures, or why there are none."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "x.npy", x)
        command = [python, str(Path(__file__).with_name("quantize_peers.py")), str(path), f"{folder}/x.npy", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said = dict(line.split(": ", 1) for line in done.stdout.splitlines() if line.split(": ", 1)[0] in PEERS)
        for name in PEERS:
            made = Path(folder) / f"{name}.tflite"
            try:
                found[name] = judged(made.read_bytes()) if made.exists() else {"failed": said.get(name, "did not run")}
            except TinycompError as error:
                found[name] = {"failed": str(error)}
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="quantization side by side")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--cases", type=int, default=200, help="how many calibrate")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--peers", metavar="PYTHON")
    parser.add_argument("--weights", metavar="LIMIT", help="mixed precision beside it, such as 55%%")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    everything: dict[str, Any] = {}
    print("| model | seed | by |", " | ".join(COLUMNS.values()), "|")
    print("|---|--:|---|" + "--:|" * len(COLUMNS))
    for model in options.models.split(","):
        for seed in map(int, options.seeds.split(",")):
            everything[f"{model} {seed}"] = found = compared(model, options.cases, seed, options.peers, options.weights)
            for name, f in found.items():
                shown = [f["failed"][:90]] if "failed" in f else [_shown(f.get(c)) for c in COLUMNS]
                print(f"| {model} | {seed} | {name} |", " | ".join(shown), "|", flush=True)
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1) + "\n")


def _shown(value: float | None) -> str:
    return "–" if value is None else str(value)


if __name__ == "__main__":
    main()
