"""The reference models as firmware on every emulated core whose memory they fit: the golden outputs, bit for bit."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.emulated import BOARDS, EMULATED, needs_tools
from tests.models.test_reference_models import golden
from tests.support import SHARED, needs_shared, same
from tinycomp import build as builder
from tinycomp import frontend
from tinycomp.errors import DoesNotFit
from tinycomp.harness import qemu

MODELS = ["kws_int8", "ic_int8", "vww_int8", "ad_int8", "sww_int8", "person_detect"]
# What the smallest boards have no room for, so that nothing is left out unseen: 16 KB of RAM and 256 KB of flash, 8 KB
# and 128 KB, 80 KB and 1 MB. Every model fits all the others.
TOO_SMALL = {
    ("emu_cortex_m0", "vww_int8"), ("emu_cortex_m0", "ad_int8"), ("emu_cortex_m0", "person_detect"),
    ("emu_cortex_m3", "vww_int8"), ("emu_cortex_m3", "ad_int8"), ("emu_cortex_m3", "person_detect"),
    ("emu_cortex_m3", "ic_int8"),
}  # fmt: skip
PAIRS = [(board.id, model) for board in EMULATED for model in MODELS]

pytestmark = [needs_shared, pytest.mark.slow]


@cache
def model(name: str) -> frontend.Model:
    """The file, read once a process."""
    return frontend.load(SHARED / "models" / f"{name}.tflite")


@pytest.mark.parametrize(("board_id", "name"), PAIRS, ids=[f"{board}-{model}" for board, model in PAIRS])
def test_the_golden_outputs_on_every_core_that_has_the_memory(board_id: str, name: str, tmp_path: Path):
    board = BOARDS[board_id]
    needs_tools(board)
    made = builder.compile_model(model(name), builder.Options(board=board_id))
    if (board_id, name) in TOO_SMALL:
        with pytest.raises(DoesNotFit, match=board_id):
            builder.require_fit(made)
        return
    builder.require_fit(made)
    builder.write(made, tmp_path / "out")
    manifest = builder.read_manifest(tmp_path / "out")
    assert manifest
    cases, wanted = golden(name)
    ran = qemu.run_emulated(tmp_path / "out", board, manifest, made.program.graph, cases)
    for k, answer in enumerate(ran.outputs):
        same(answer, wanted[k], f"{name} on {board_id}, golden case {k}")
    assert ran.stack_bytes is not None
    assert ran.stack_bytes <= board.stack_bytes


@pytest.mark.parametrize(
    ("opt", "kernels", "stream"), [("speed", "auto", "push"), ("size", "auto", "on"), ("speed", "portable", "off")]
)
@pytest.mark.parametrize("board_id", [board.id for board in EMULATED])
def test_keyword_spotting_in_every_way_that_a_core_can_run_it(board_id, opt, kernels, stream, tmp_path):
    board = BOARDS[board_id]
    needs_tools(board)
    options = builder.Options(board=board_id, opt=opt, kernels=kernels, stream=stream)
    made = builder.compile_model(model("kws_int8"), options)
    if not made.report["budget"]["fits"]:
        assert (board_id, stream) in {("emu_cortex_m3", "off")}
        return
    builder.write(made, tmp_path / "out")
    cases, wanted = golden("kws_int8")
    manifest = builder.manifest_of(tmp_path / "out")
    ran = qemu.run_emulated(tmp_path / "out", board, manifest, made.program.graph, cases[:4])
    for k, answer in enumerate(ran.outputs):
        same(answer, wanted[k], f"kws_int8 on {board_id}, {opt}, {kernels}, {stream}, golden case {k}")
