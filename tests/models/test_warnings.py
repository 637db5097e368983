"""The emitted C of real models compiles without a warning: for the cores it is made for, and on any host."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.models.test_reference_models import front
from tests.support import needs_shared
from tinycomp.cores import load_core
from tinycomp.emit.library import Identity, library
from tinycomp.lower import lower
from tinycomp.program import Recipe

WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wundef", "-pedantic", "-Werror")
CORES = ["cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "rv32imc", "xtensa-lx106"]

pytestmark = [needs_shared, pytest.mark.slow]


@pytest.mark.parametrize("opt", ["size", "speed"])
@pytest.mark.parametrize("core_id", CORES)
def test_no_compiler_has_anything_to_say(core_id: str, opt: str, tmp_path: Path):
    core = load_core(core_id)
    for compiler in (core.compiler, "gcc", "clang"):
        if not shutil.which(compiler):
            pytest.skip(f"{compiler} is not installed")
    for name in ("kws_int8", "vww_int8", "ic_int8", "ad_int8", "sww_int8", "micro_speech_quantized"):
        program = lower(front(name).graph, Recipe(opt=opt), core.features)
        for file, text in library(program, Identity("net", "0" * 64)).items():
            (tmp_path / file).write_text(text)
        target = [core.compiler, *core.flags, *core.optimise]
        for command in (target, ["gcc", "-O1"], ["clang", "-O1"]):
            done = subprocess.run(
                [*command, "-std=c99", *WARNINGS, "-c", "net.c", "-o", "/dev/null"],
                cwd=tmp_path, capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == 0, f"{name}, {command[0]}: {done.stderr[:800]}"
