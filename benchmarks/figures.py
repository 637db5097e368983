"""The README's table of figures: builds of the MLPerf Tiny reference models and of the example, as Markdown.

    python benchmarks/figures.py

The reference models are optional and read from ../shared/models; rows of absent ones are left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

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


def report(model: Path) -> dict[str, Any]:
    """report.json of a build. Raises CalledProcessError where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tinycomp.cli", "build", str(model), "--board", BOARD, "-o", f"{folder}/out"]
        done = subprocess.run([*command, "--json"], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main() -> None:
    """Print the table."""
    print("| model | arena | layer by layer | weights | biases, tables | code | MACs | MACs in the file |")
    print("|---|---|---|---|---|---|---|---|")
    for title, model in MODELS:
        if model.is_file():
            r = report(model)
            figures = (r["arena_bytes"], r["memory"]["layer_by_layer"], r["weights_bytes"], r["tables_bytes"])
            code = f"{r['code_bytes']['value']:,} ({r['code_bytes']['how']})"
            cells = [title, *(f"{v:,}" for v in figures), code, f"{r['macs_live']:,}", f"{r['macs']:,}"]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
