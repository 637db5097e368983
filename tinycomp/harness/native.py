"""The emitted library compiled by the host's compiler, under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinycomp.emit.library import environment
from tinycomp.errors import OutputsDiffer, ToolMissing
from tinycomp.ir import NUMPY, Array, Graph

WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wundef", "-pedantic", "-Werror")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")


@dataclass(frozen=True)
class Row:
    """A row that a layer has finished: `data` are its bytes."""

    layer: int
    row: int
    data: bytes


def compiler() -> str:
    """The host's C compiler. Raises ToolMissing where there is none."""
    for name in ("gcc", "clang", "cc"):
        if path := shutil.which(name):
            return path
    raise ToolMissing("no C compiler found (gcc or clang)", fix="apt-get install gcc, or your system's build tools")


def compile_library(source: Path, name: str, graph: Graph, out: Path, *, trace: bool = False, optimise: str = "-O1",
                    sanitize: bool = True, cc: str | None = None) -> Path:  # fmt: skip
    """Compile NAME.c and NAME_data.c from `source` with the runner; returns the program. All warnings are errors.

    Raises OutputsDiffer with the compiler's first lines where it fails: emitted C must compile everywhere.
    """
    runner = out / f"{name}_runner.c"
    sizes = [[graph.tensors[t].bytes for t in names] for names in (graph.inputs, graph.outputs)]
    runner.write_text(environment().get_template("harness/native.c.j2").render(
        name=name, NAME=name.upper(), inputs=sizes[0], outputs=sizes[1]))  # fmt: skip
    program = out / name
    flags = ["-std=c99", optimise, *WARNINGS, *(SANITIZERS if sanitize else ())]
    flags += [f"-D{name.upper()}_TRACE"] if trace else []
    parts = [source / f"{name}.c", source / f"{name}_data.c"]
    objects: list[str] = []
    for part in (*parts, runner):
        target = out / f"{part.stem}.o"
        extra = ["-D_ISOC11_SOURCE"] if part == runner else []
        _run([cc or compiler(), *flags, *extra, "-I", str(source), "-c", str(part), "-o", str(target)])
        objects.append(str(target))
    _run([cc or compiler(), *flags, *objects, "-lm", "-o", str(program)])
    return program


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = "\n".join(done.stderr.splitlines()[:12])
        raise OutputsDiffer(f"the emitted C does not compile:\n{lines}", where=" ".join(command[:1]))


def run(program: Path, graph: Graph, cases: Sequence[Sequence[Array]], *, trace: bool = False,
        timeout: float = 600) -> tuple[list[list[Array]], list[Row]]:  # fmt: skip
    """Run each case (the graph's inputs in order); returns each case's outputs and, with `trace`, every finished row.

    Raises OutputsDiffer where the program fails: a sanitizer's report, a status other than OK, a time-out.
    """
    data = b"".join(np.ascontiguousarray(x).tobytes() for case in cases for x in case)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "rows"
        try:
            done = subprocess.run([str(program), str(path)], input=data, capture_output=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise OutputsDiffer(f"did not finish in {timeout:.0f} s", where=program.name) from None
        if done.returncode:
            report = done.stderr.decode(errors="replace").strip().splitlines()[:12]
            raise OutputsDiffer(f"left with status {done.returncode}\n" + "\n".join(report), where=program.name)
        rows = list(_rows(path.read_bytes())) if trace else []
    return list(_split(done.stdout, graph, len(cases))), rows


def _split(data: bytes, graph: Graph, cases: int) -> Iterator[list[Array]]:
    at = 0
    for _ in range(cases):
        outputs: list[Array] = []
        for name in graph.outputs:
            t = graph.tensors[name]
            outputs.append(np.frombuffer(data[at : at + t.bytes], NUMPY[t.dtype]).reshape(t.shape))
            at += t.bytes
        yield outputs


def _rows(data: bytes) -> Iterator[Row]:
    at = 0
    while at < len(data):
        layer, row, size = struct.unpack_from("<III", data, at)
        yield Row(layer, row, data[at + 12 : at + 12 + size])
        at += 12 + size
