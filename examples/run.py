"""An example from model to answers: build it for an emulated board, put its application in, run the firmware, compare.

    python -m examples.run NAME [--board BOARD] [--out DIR]

For a real board the firmware is built folder and all, but neither compiled nor run: `tinycomp flash DIR` does that.
Leaves with 0 when every output equals the reference's, else with 1.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from examples.anomaly.data import EXAMPLE as ANOMALY
from examples.camera.data import EXAMPLE as CAMERA
from examples.demo import tinycomp
from examples.example import HERE, Example, Int8
from examples.gesture.data import EXAMPLE as GESTURE
from examples.keywords.data import EXAMPLE as KEYWORDS
from tinycomp import frontend, interpret
from tinycomp.errors import TinycompError
from tinycomp.harness import firmware, qemu
from tinycomp.target import load_board

EXAMPLES: Mapping[str, Example] = {e.name: e for e in (ANOMALY, CAMERA, GESTURE, KEYWORDS)}


def expected(example: Example, inputs: Int8) -> Int8:
    """What the reference answers to inputs [results, ...]: int8 [results, outputs]."""
    graph = frontend.front(frontend.load(example.model), "tflm").source
    answers = interpret.sequence(graph, [[x] for x in inputs])
    return np.stack([values[graph.outputs[0]].ravel() for values in answers])


def prepare(example: Example, data: NDArray[np.uint8] | NDArray[np.int16], board: str, out: Path) -> None:
    """The build with the example's application and the recording in it."""
    tinycomp("build", example.model, "--board", board, "--stream", example.stream, "-o", out)
    parts = [HERE / "app" / f"{name}.{ending}" for name in example.app for ending in "ch"]
    for file in (example.folder / "main.c", *parts):
        shutil.copy(file, out / "src")
    content = data.astype(data.dtype.newbyteorder("<")).tobytes()
    lines = [", ".join(map(str, content[k : k + 24])) for k in range(0, len(content), 24)]
    (out / "src" / "recording.c").write_text(
        "/* Made by the example's run. */\n#include <stddef.h>\n\nextern const unsigned char recording[];\n"
        f"extern const size_t recording_size;\n\nconst size_t recording_size = {len(content)};\n"
        "const unsigned char recording[] = {\n  " + ",\n  ".join(lines) + "\n};\n"
    )


def emulated(example: Example, board: str, folder: Path) -> list[str]:
    """The lines that the application prints on the emulated board: `result N: numbers word`. Raises TinycompError."""
    with tempfile.TemporaryDirectory() as objects:
        made = firmware.build(folder, qemu.twin(load_board(board)), example.name, Path(objects))
        return [line for line in qemu.printed(made).splitlines() if line.startswith("result ")]


def compare(example: Example, board: str, out: Path) -> int:
    """Build, run, compare; how many results differ."""
    recording = example.record()
    prepare(example, recording.data, board, out)
    if not load_board(board).emulated:
        print(f"\nnext: tinycomp flash {out}")
        return 0
    inputs = example.inputs(recording.data)
    outputs = expected(example, inputs)
    wanted = [f"result {k}: {line}" for k, line in enumerate(example.says(inputs, outputs))]
    print(f"\nthe firmware on {board}:", flush=True)
    found = emulated(example, board, out)
    for line, truth in zip(found, recording.truth, strict=False):
        print(f"  {line:44} {f'({truth})' if truth else ''}".rstrip())
    equal = sum(a == b for a, b in zip(found, wanted, strict=False))
    sure = [(line.split()[-1], truth) for line, truth in zip(found, recording.truth, strict=False) if truth]
    right = sum(word == truth for word, truth in sure)
    print(f"\n{example.name}: {equal} of {len(wanted)} results equal the reference bit for bit; "
          f"{right} of {len(sure)} that can be told are right")  # fmt: skip
    return len(wanted) - equal + max(0, len(found) - len(wanted))


def main() -> int:
    """Run one example."""
    parser = argparse.ArgumentParser(description="build an example and run it on an emulated board")
    parser.add_argument("name", choices=sorted(EXAMPLES))
    parser.add_argument("--board", help="default: the example's emulated board")
    parser.add_argument("--out", type=Path, help="default: build/NAME-BOARD")
    given = parser.parse_args()
    example = EXAMPLES[given.name]
    board = given.board or example.board
    try:
        return 1 if compare(example, board, given.out or Path("build") / f"{example.name}-{board}") else 0
    except TinycompError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
