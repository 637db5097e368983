"""The README's tables of figures: builds of the MLPerf Tiny reference models and of the example, as Markdown.

    python benchmarks/figures.py

The reference models are optional and read from ../shared/models; rows of absent ones are left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cells import millions, table

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "models"
BOARD = "nucleo_l4r5zi"  # a Cortex-M4, MLPerf Tiny's reference board
MODELS = (
    ("digits (`examples/digits`)", ROOT / "examples" / "digits" / "digits.tflite"),
    ("keyword spotting, DS-CNN", SHARED / "kws_int8.tflite"),
    ("image classification, ResNet-8", SHARED / "ic_int8.tflite"),
    ("visual wake words, MobileNetV1 0.25", SHARED / "vww_int8.tflite"),
    ("anomaly detection, autoencoder", SHARED / "ad_int8.tflite"),
)
OPTS = ("speed", "balanced", "size")


def report(model: Path, opt: str) -> dict[str, Any]:
    """report.json of a build. Raises CalledProcessError where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tinycomp.cli", "build", str(model), "--board", BOARD, "-o", f"{folder}/out"]
        done = subprocess.run([*command, "--opt", opt, "--json"], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def memory(r: Mapping[str, Any]) -> list[str]:
    """What a model takes: the first table's cells."""
    figures = (r["arena_bytes"], r["memory"]["layer_by_layer"], r["weights_bytes"] + r["biases_bytes"],
               r["overhead_bytes"])  # fmt: skip
    code = f"{r['code_bytes']['value']:,} ({r['code_bytes']['how']})"
    return [*(f"{v:,}" for v in figures), code, f"{r['macs_live']:,}", f"{r['macs']:,}"]


def trade(r: Mapping[str, Any]) -> str:
    """A cell of the second table: arena, flash besides weights and biases, code of it, million cycles."""
    figures = (r["arena_bytes"], r["overhead_bytes"], r["code_bytes"]["value"])
    return " / ".join([*(f"{v:,}" for v in figures), millions(r["cycles"]["value"])])


def main() -> None:
    """Print the tables."""
    made = {title: {opt: report(model, opt) for opt in OPTS} for title, model in MODELS if model.is_file()}
    titles = ("model", "arena", "layer by layer", "weights, biases", "flash besides", "code of it", "MACs",
              "MACs in the file")  # fmt: skip
    print(*table(titles, [(title, *memory(by_opt["balanced"])) for title, by_opt in made.items()]), sep="\n")
    print("\nArena / flash besides weights and biases / code of it (bytes) / million cycles (predicted) by `--opt`:\n")
    rows = [(title, *(trade(by_opt[opt]) for opt in OPTS)) for title, by_opt in made.items()]
    print(*table(("model", *OPTS), rows), sep="\n")


if __name__ == "__main__":
    main()
