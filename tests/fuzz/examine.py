"""What must hold for any file whatever: a sound build, or a refusal that says what to do."""

from __future__ import annotations

import random
import re
import resource
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from click.testing import CliRunner, Result

from tests.fuzz.mutate import MARK
from tests.support import references, run_program, same
from tinycomp import build as builder
from tinycomp.build import Build, Options
from tinycomp.cli import main
from tinycomp.errors import TinycompError
from tinycomp.frontend import Model
from tinycomp.ir import Array, Graph
from tinycomp.program import Stream

SECONDS = 10  # of processor time
BYTES = 1 << 30
# Boards whose C the host's compiler takes: the others include their core's header of intrinsics.
HOSTED = ("emu_cortex_m4", "emu_cortex_m3", "pico", "emu_riscv32", "esp32s3")
BOARDS = (*HOSTED, "emu_cortex_m55")
COMMENT = re.compile(r"\s*/\* [\w ,.:/\[\]?-]*[^/]\*/")  # in which a name, tamed, may stand
WORK = 3_000_000  # multiplications up to which a build is interpreted, and run

Outcome = Literal["refused", "over budget", "built", "checked", "compiled", "run"]


class Hang(Exception):
    """More than SECONDS of processor time."""


@dataclass(frozen=True)
class Depth:
    """How often, of a thousand builds, what takes longer is done: the passes interpreted, the C compiled, the C run
    under sanitizers; and of a thousand files, the command line called."""

    interpret: int = 300
    compile: int = 30
    run: int = 10
    call: int = 20


ALL = Depth(1000, 1000, 1000, 1000)


def every_way() -> list[Options]:
    """Every kind of memory plan, and every board once."""
    streams: list[Stream] = ["auto", "off", "on", "push"]
    plans = [Options(board=HOSTED[0], stream=stream, opt="size", quantize="none") for stream in streams]
    return plans + [Options(board=board, opt="speed", quantize="none") for board in BOARDS]


def drawn(rng: random.Random) -> Options:
    """Some way of building."""
    return Options(
        board=rng.choice(BOARDS), opt=rng.choice(["speed", "size", "balanced"]),
        stream=rng.choice(["auto", "off", "on", "push"]), kernels=rng.choice(["auto", "auto", "portable"]),
        reference=rng.choice(["tflm", "tflm", "litert"]), quantize="none" if rng.random() < 0.9 else "auto",
    )  # fmt: skip


@contextmanager
def limited(seconds: float = SECONDS) -> Generator[None]:
    """That much processor time, and BYTES, for what is inside. Raises Hang or MemoryError.

    Programs that are started inside are limited too, and sanitizers cannot run so.
    """

    def late(*_: object) -> None:
        raise Hang(f"more than {seconds} s of processor time")

    old = signal.signal(signal.SIGPROF, late)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_size() + BYTES, hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, old)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _size() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def examine(data: bytes, options: Options, rng: random.Random, depth: Depth) -> Outcome:
    """Build the file. Raises AssertionError, Hang, MemoryError or whatever else went wrong; a refusal is none."""
    if rng.randrange(1000) < depth.call:
        _called(data, options)
    try:
        with limited():
            made = builder.compile_model(Model("fuzzed.tflite", data), options)
            files = builder.files(made)
    except TinycompError as error:
        told(error)
        return "refused"
    clean(files)
    if sum(step.macs for step in made.program.steps) > WORK or _bytes(made.front.source) > WORK:
        return "built"
    done: Outcome = "built"
    if rng.randrange(1000) < depth.interpret:
        _exact(made, rng)
        done = "checked"
    if made.board.id in HOSTED and rng.randrange(1000) < depth.compile:
        _compiles(made)
        done = "compiled"
    if made.board.id in HOSTED and rng.randrange(1000) < depth.run:
        _runs(made, rng)
        done = "run"
    return done


def _bytes(graph: Graph) -> int:
    return sum(t.bytes for t in graph.tensors.values())


def told(error: TinycompError) -> None:
    """The message is one printable line that names a place, or a remedy."""
    text = str(error)
    assert text.isprintable(), f"unprintable message {text!r}"
    assert len(text) < 2000, f"a message of {len(text)} characters: {text[:300]}"
    assert error.where or error.fix, f"neither place nor remedy: {text}"
    assert error.exit_status in (2, 3), f"exit status {error.exit_status}: {text}"
    assert "makes no sense (" not in text, f"a fault that no check foresaw: {text}"


def clean(files: dict[str, str | bytes]) -> None:
    """No path leaves the folder and no text of the file gets into C or, unescaped, into a report."""
    for path, body in files.items():
        parts = PurePosixPath(path).parts
        assert parts, path
        assert not path.startswith("/"), path
        assert ".." not in parts, path
        assert MARK not in path, path
        if isinstance(body, bytes):
            continue
        if not path.startswith("report."):
            stray = [line for line in body.splitlines() if MARK in line and not COMMENT.fullmatch(line)]
            assert not stray, f"{path} contains a name of the file: {stray[0]!r}"
        bad = [c for c in body if not c.isprintable() and c not in "\n\t"]
        assert not bad, f"{path} contains {bad[:3]!r}"


def inputs(graph: Graph, rng: random.Random, cases: int = 3) -> list[list[Array]]:
    """All least, all greatest, and random values of the graph's inputs."""
    made, numbers = list[list[Array]](), np.random.default_rng(rng.randrange(2**32))
    for case in range(cases):
        row: list[Array] = []
        for t in (graph.tensors[name] for name in graph.inputs):
            if t.dtype == "float32":
                row.append(np.full(t.shape, (-10, 10)[case], np.float32) if case < 2 else
                           numbers.normal(0, 3, t.shape).astype(np.float32))  # fmt: skip
            elif t.dtype == "bool":
                row.append(numbers.integers(0, 2, t.shape).astype(np.bool_))
            else:
                info = np.iinfo(t.dtype if t.dtype != "int4" else "int8")
                row.append(np.full(t.shape, (info.min, info.max)[case], info.dtype) if case < 2 else
                           numbers.integers(info.min, info.max, t.shape, info.dtype, endpoint=True))  # fmt: skip
        made.append(row)
    return made


def _answers(graph: Graph, cases: Sequence[Sequence[Array]]) -> list[list[Array]]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return references(graph, cases)


def _finite(answers: Sequence[Sequence[Array]]) -> bool:
    """All floats are ordinary ones; what an overflow is followed by is nobody's promise."""
    return all(bool((np.abs(a) < 1e6).all()) for case in answers for a in case if a.dtype.kind == "f")


def _exact(made: Build, rng: random.Random) -> None:
    """The passes have not changed the answer."""
    cases = inputs(made.front.source, rng)
    with limited():
        wanted, found = _answers(made.front.source, cases), _answers(made.front.graph, cases)
    if _finite(wanted):
        for k, answer in enumerate(found):
            same(answer, wanted[k], f"passes, case {k}")


def _compiles(made: Build) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for file, text in made.sources.items():
            (Path(folder) / file).write_text(text)
        command = ["gcc", "-std=c99", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", *_c_files(folder)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[:2000]


def _c_files(folder: str) -> list[str]:
    return sorted(p.name for p in Path(folder).glob("*.c"))


def _runs(made: Build, rng: random.Random) -> None:
    """The C answers as the interpreter does and no sanitizer complains."""
    cases = inputs(made.front.graph, rng)
    wanted = _answers(made.front.graph, cases)
    found = run_program(made.program, cases)
    if _finite(wanted):
        for k, answer in enumerate(found):
            same(answer, wanted[k], f"C, case {k}")


def _tool(runner: CliRunner, *given: object) -> Result:
    return runner.invoke(main, [str(g) for g in given])


def _called(data: bytes, options: Options) -> None:
    """The same through the command line: a status, no traceback, the folder whole or absent, nothing beside it."""
    with tempfile.TemporaryDirectory() as folder:
        model, out = Path(folder) / f"in {MARK}.tflite", Path(folder) / "made" / "out"
        model.write_bytes(data)
        tool = partial(_tool, CliRunner())
        with limited():
            built = tool("build", model, "--board", options.board, "-o", out, "--opt", options.opt, "--stream",
                         options.stream, "--kernels", options.kernels, "--quantize", options.quantize)  # fmt: skip
            inspected = tool("inspect", model)
        for done, statuses in ((built, (0, 2, 3)), (inspected, (0, 2))):
            if done.exception is not None and not isinstance(done.exception, SystemExit):
                raise done.exception
            assert done.exit_code in statuses, f"exit status {done.exit_code}: {done.output}"
        assert sorted(p.name for p in Path(folder).iterdir()) in ([model.name], [model.name, "made"])
        if built.exit_code == 0:
            assert [p.name for p in out.parent.iterdir()] == ["out"]
            assert (out / "tinycomp.json").is_file()
        else:
            assert not out.exists()
