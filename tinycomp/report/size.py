"""Bytes of machine code of an emitted library: measured with the board's compiler, or estimated without it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinycomp.cores import Core

# Bytes of code per character of C (comments and white space aside) with -O2: fitted to the measured sizes of the
# MLPerf Tiny models on Cortex-M4 (Thumb-2), within 20 % there; other instruction sets are less dense.
BYTES_PER_CHARACTER = 0.40
DENSITY = {"arm": 1.0, "riscv": 1.25, "xtensa": 1.2}


def code_bytes(sources: Mapping[str, str], name: str, core: Core, pads: int) -> dict[str, Any]:
    """{value, how}: text and read-only data of NAME.c; `how` is measured or estimated.

    pads: bytes of its rows of padding, which count as constants.
    """
    measured = measure(sources, name, core, pads) if shutil.which(core.compiler) else None
    if measured is not None:
        return {"value": measured, "how": "measured"}
    return {"value": estimate(sources[f"{name}.c"], core), "how": "estimated"}


def estimate(source: str, core: Core) -> int:
    """A figure to plan with, from the length of the C."""
    code = re.sub(r"/\*.*?\*/|\s+", "", source, flags=re.DOTALL)
    code = re.sub(r"staticconstint8_tpad_.*?;", "", code)
    density = next((d for feature, d in DENSITY.items() if feature in core.features), 1.2)
    return round(len(code) * BYTES_PER_CHARACTER * density)


def measure(sources: Mapping[str, str], name: str, core: Core, pads: int) -> int | None:
    """Compile NAME.c for the core and add up its code sections, `pads` aside; None where the compiler fails."""
    with tempfile.TemporaryDirectory() as folder:
        for file in (f"{name}.c", f"{name}.h"):
            (Path(folder) / file).write_text(sources[file])
        command = [core.compiler, *core.flags, *core.optimise, "-std=c99", "-c", f"{name}.c", "-o", "code.o"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode or not shutil.which(f"{core.tools}size"):
            return None
        table = subprocess.run([f"{core.tools}size", "-A", "code.o"], cwd=folder, capture_output=True, text=True).stdout
    sections = [line.split() for line in table.splitlines() if line.startswith((".text", ".rodata", ".literal"))]
    return sum(int(fields[1]) for fields in sections) - pads
