"""The example model from file to answer, by the command line alone: build it for an ESP32, run its C here, compare,
then run the firmware on an emulated Cortex-M4 and count its instructions.

    python examples/demo.py [--board BOARD] [--out DIR]

Leaves with 0 when the C's answers equal the recorded ones of TensorFlow Lite Micro's interpreter, else with 1.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
DIGITS = HERE / "digits"
SHOWN = 10  # this sample is printed
INK = " .:-=+*#%@"


def tinycomp(*arguments: object) -> None:
    """Run the command line, shown as a user would type it. A failure ends the demo with the same status."""
    words = ["tinycomp", *map(_short, arguments)]
    print(f"\n$ {shlex.join(words)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "tinycomp.cli", *map(str, arguments)])
    if done.returncode:
        sys.exit(done.returncode)


def _short(argument: object) -> str:
    if isinstance(argument, Path) and argument.is_relative_to(Path.cwd()):
        return str(argument.relative_to(Path.cwd()))
    return str(argument)


def picture(x: NDArray[np.int8]) -> str:
    """An int8 picture [height, width, 1] as text, two characters for a pixel."""
    levels = (x[..., 0].astype(int) + 128) * len(INK) // 256
    return "\n".join("    |" + "".join(INK[v] * 2 for v in row) + "|" for row in levels)


def emulated(out: Path) -> None:
    """The same on an emulated Cortex-M4: bits, stack, instructions, modelled cycles, arena."""
    missing = [program for program in ("arm-none-eabi-gcc", "qemu-system-arm") if not shutil.which(program)]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        tinycomp("setup-emulators")
    elif missing:
        print(
            f"\nThe firmware in an emulator: left out, {' and '.join(missing)} not installed; "
            "try `make setup-emulators`"
        )
        return
    tinycomp("build", DIGITS / "digits.tflite", "--board", "emu_cortex_m4", "-o", out)
    tinycomp("verify", out, "--on", "emulator", "--inputs", DIGITS / "samples.npz")
    tinycomp("profile", out, "--on", "emulator")


def main() -> int:
    """Build, run, compare."""
    parser = argparse.ArgumentParser(description="build and run the example model")
    parser.add_argument("--board", default="esp32")
    parser.add_argument("--out", type=Path, default=Path("build") / "demo")
    given = parser.parse_args()
    out: Path = given.out
    with np.load(DIGITS / "samples.npz") as samples:
        x, y, expected = samples["x"], samples["y"], samples["expected"]
    out.parent.mkdir(parents=True, exist_ok=True)
    answers = out.parent / f"{out.name}-answers.npy"

    tinycomp("build", DIGITS / "digits.tflite", "--board", given.board, "-o", out)
    tinycomp("run", out, "--inputs", DIGITS / "samples.npz", "-o", answers, "--on", "native")
    found = np.load(answers).reshape(expected.shape)

    print(f"\nSample {SHOWN}, a {y[SHOWN]}:\n{picture(x[SHOWN])}\n")
    print("    class           " + "".join(f"{k:5d}" for k in range(expected.shape[1])))
    print("    tinycomp's C    " + "".join(f"{v:5d}" for v in found[SHOWN]) + f"   → {found[SHOWN].argmax()}")
    print("    TFLM interpreter" + "".join(f"{v:5d}" for v in expected[SHOWN]) + f"   → {expected[SHOWN].argmax()}")
    equal = int((found == expected).all(axis=1).sum())
    right = [int((a.argmax(axis=1) == y).sum()) for a in (found, expected)]
    print(f"\nOf {len(y)} digits tinycomp's C reads {right[0]} right, the TFLM interpreter {right[1]}.")
    if equal != len(y):
        print(f"demo FAILED: {len(y) - equal} of {len(y)} answers differ from the reference")
        return 1
    emulated(out.parent / f"{out.name}-m4")
    print(f"\ndemo OK: {equal} of {len(y)} answers equal the reference bit for bit. The {given.board} project: {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
