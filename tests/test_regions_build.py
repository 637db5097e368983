"""`--regions` from the outside, and the application that gives the model its memory on each framework."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests import firmware
from tests.streaming.test_regions import STREAMS, network
from tests.support import needs_cc
from tinycomp import regions, resources
from tinycomp.cli import main
from tinycomp.emit.project import Project, project_files
from tinycomp.errors import BadInput
from tinycomp.target import Budget, load_board
from tinycomp.tflite import writer


def tool(*arguments: object) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model file."""
    path = tmp_path / "net.tflite"
    path.write_bytes(writer.write(network()))
    return path


@pytest.fixture
def small_dtcm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """nucleo_h743zi with 256 bytes of DTCM."""
    real = resources.path
    boards = Path(shutil.copytree(real("boards"), tmp_path / "boards"))
    file = boards / "nucleo_h743zi.toml"
    text = file.read_text()
    assert "usable = 114_688\nnot_with" in text
    file.write_text(text.replace("usable = 114_688\nnot_with", "usable = 256\nnot_with"))
    monkeypatch.setattr(resources, "path", lambda name: boards if name == "boards" else real(name))


@pytest.mark.usefixtures("small_dtcm")
def test_too_small_for_both_regions_is_refused_with_both_named_and_nothing_is_written(model, tmp_path):
    done = tool("build", model, "--board", "nucleo_h743zi", "--ram", "300", "-o", tmp_path / "out")
    assert done.exit_code == 3
    assert "bytes of sram, where nucleo_h743zi has 300" in done.stderr
    assert "bytes of dtcm, where nucleo_h743zi has 256" in done.stderr
    assert "too few in sram; live there at the peak: " in done.stderr
    assert not (tmp_path / "out").exists()


@needs_cc
@pytest.mark.parametrize("stream", STREAMS)
def test_a_build_that_sram_is_too_small_for_is_spread_reported_and_verified(model, tmp_path, stream):
    out = tmp_path / "out"
    build = ("build", model, "--board", "nucleo_h743zi", "-o", out, "--stream", stream)
    alone = json.loads(tool(*build, "--json").stdout)
    assert [r["name"] for r in alone["regions"]] == ["sram"]
    assert not (out / "src/memory.c").exists()
    limit = alone["arena_bytes"] // 2
    done = tool(*build, "--ram", limit, "--json")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    sram, dtcm = report["regions"]
    assert sram == {"name": "sram", "arena_bytes": report["arena_bytes"], "budget": limit}
    assert (dtcm["name"], dtcm["budget"]) == ("dtcm", 114_688)
    assert report["ram_bytes"] == report["arena_bytes"] + regions.context_bytes(stream == "push", 2) <= limit
    assert {live.get("region", "sram") for step in report["memory"]["steps"] for live in step["live"]} >= {"dtcm"}
    assert any("linker script" in warning for warning in report["warnings"])
    verified = tool("verify", out, "--cases", 5)
    assert verified.exit_code == 0, verified.stderr


@pytest.mark.slow
def test_the_firmware_of_two_regions_runs_in_the_emulator(model, tmp_path):
    for name in ("arm-none-eabi-gcc", "qemu-system-arm"):
        if not shutil.which(name):
            pytest.skip(f"{name} is not installed")
    out = tmp_path / "out"
    assert tool("build", model, "--board", "nucleo_h743zi", "-o", out, "--regions", "dtcm,sram").exit_code == 0
    assert 'section(".bss.dtcm")' in (out / "src/memory.c").read_text()
    done = tool("verify", out, "--cases", 3, "--on", "emulator")
    assert done.exit_code == 0, done.stderr
    assert "equal to the last bit" in done.stdout
    pytest.importorskip("unicorn")
    counted = tool("profile", out, "--json")
    assert counted.exit_code == 0, counted.stderr


@pytest.mark.parametrize(
    ("board", "framework", "wanted", "names"),
    [("nucleo_h743zi", "arduino", None, ("dtcm", "sram")), ("nucleo_h743zi", "arduino", "sram", ("sram",)),
     ("nucleo_h743zi", "stm32cube", None, ("sram",)), ("ek_ra8d1", "bare", "sram, dtcm", ("dtcm", "sram")),
     ("esp_wrover_kit", "espidf", None, ("sram", "psram")),
     ("freenove_esp32_s3_wroom", "arduino", None, ("sram", "psram")), ("esp32", "arduino", None, ("sram",))],
)  # fmt: skip
def test_regions_are_those_of_the_board_with_the_framework_fastest_first(
    board: str, framework: str, wanted: str | None, names: Sequence[str]
):
    chosen = load_board(board)
    found = regions.rooms(chosen, framework, Budget.of(chosen, ram=9000, framework=framework), wanted)
    assert tuple(room.region for room in found.fast_first) == names
    assert {room.region: room.bytes for room in found.fast_first}["sram"] == 9000
    assert found.asked == (wanted is not None)


@pytest.mark.parametrize(
    ("framework", "wanted", "message"),
    [("arduino", "sram,psram", r"(?s)no region 'psram'.*use some of: dtcm, sram"),
     ("arduino", "dtcm", "--regions sram,dtcm"), ("arduino", "", "no region ''"),
     ("stm32cube", "sram,dtcm", "no region 'dtcm' for data with stm32cube"),
     ("arduino", "sram,flash", "no region 'flash'")],
)  # fmt: skip
def test_regions_that_the_board_does_not_have_are_refused(framework, wanted, message):
    board = load_board("nucleo_h743zi")
    with pytest.raises(BadInput, match=message):
        regions.rooms(board, framework, Budget.of(board, framework=framework), wanted)


# Board, framework, region, what src/memory.c takes it by, defines of the framework's own.
WAYS = (
    ("esp_wrover_kit", "arduino", "psram", "heap_caps_aligned_alloc(", ()),
    ("freenove_esp32_s3_wroom", "espidf", "psram", "heap_caps_aligned_alloc(", ()),
    ("nucleo_h743zi", "arduino", "dtcm", 'section(".bss.dtcm")', ()),
    ("nucleo_h743zi", "mbed", "dtcm", 'section(".bss.dtcm")', ()),
    ("nucleo_h743zi", "zephyr", "dtcm", "__dtcm_noinit_section", ("__ZEPHYR__",)),
    ("ek_ra8d1", "bare", "dtcm", 'section(".bss.dtcm")', ()),
)


@needs_cc
@pytest.mark.parametrize(("board", "framework", "region", "way", "defines"), WAYS, ids=[f"{w[0]}-{w[1]}" for w in WAYS])
def test_the_application_attaches_the_regions_memory_at_the_start(board, framework, region, way, defines, tmp_path):
    made = firmware.spread(tmp_path, region, *defines)
    program = firmware.host_program(made, load_board(board), framework, tmp_path)
    assert way in (tmp_path / "src/memory.c").read_text()
    done = subprocess.run([str(program)], input=b"", capture_output=True, timeout=60, check=False)
    assert b"output 0:" in done.stdout, done.stderr.decode()
    assert b"status" not in done.stdout


def test_esp_idf_is_told_of_the_psram_of_the_board_and_only_where_it_is_used():
    common = ("net", load_board("freenove_esp32_s3_wroom"), "espidf", "0.1.0", "0" * 64)
    used, unused = (project_files(Project(*common, regions=r)) for r in (("psram",), ()))
    assert "CONFIG_SPIRAM=y\nCONFIG_SPIRAM_MODE_OCT=y\n" in used["sdkconfig.defaults"]
    assert "SPIRAM" not in unused["sdkconfig.defaults"]
    assert "src/memory.c" not in unused


@pytest.mark.parametrize("region", ["psram", "itcm*/", "flashy"])
def test_a_project_refuses_a_region_that_its_board_does_not_have(region):
    with pytest.raises(BadInput, match="is not a memory region of nucleo_h743zi"):
        Project("net", load_board("nucleo_h743zi"), "arduino", "0.1.0", "0" * 64, regions=(region,))
