"""compare, boards --fit, doctor and new, from the outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support import needs_cc
from tests.test_build import tool
from tests.test_html import DIGITS, Page
from tests.test_library import small
from tinycomp.battery import Battery
from tinycomp.cli import main
from tinycomp.harness import doctor
from tinycomp.report import comparison
from tinycomp.target import load_boards
from tinycomp.tflite import writer


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two builds of the example: layer by layer, and streamed."""
    folder = tmp_path_factory.mktemp("pair")
    for stream in ("off", "on"):
        done = tool("build", DIGITS, "--board", "esp32", "--stream", stream, "-o", folder / stream)
        assert done.exit_code == 0, done.stderr
    return folder / "off", folder / "on"


def reports(pair: tuple[Path, Path]) -> list[dict]:
    """What the two builds say of themselves."""
    return [json.loads((folder / "report.json").read_text()) for folder in pair]


def test_compare_says_both_arenas_and_the_change(pair):
    a, b = (r["arena_bytes"] for r in reports(pair))
    assert b < a
    done = tool("compare", *pair)
    assert done.exit_code == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first.startswith(f"streamed against layer by layer: arena {a:,} → {b:,}")
    assert f"{100 * (b - a) / a:+.1f} %".replace("-", "−") in first


def test_compare_as_json_has_every_figure_and_layer_of_both(pair):
    facts = json.loads(tool("compare", *pair, "--json").stdout)
    a, b = reports(pair)
    assert facts["figures"][0] == {"name": "arena", "a": a["arena_bytes"], "b": b["arena_bytes"]}
    assert [layer["name"] for layer in facts["layers"]] == [layer["name"] for layer in a["layers"]]


def test_compare_as_a_page_is_self_contained_and_has_both_maps(pair, tmp_path):
    assert tool("compare", *pair, "--html", tmp_path / "both.html").exit_code == 0
    text = (tmp_path / "both.html").read_text()
    assert "http" not in text.replace("http-equiv", "")
    page = Page(text)
    assert len(page.all("svg")) == 2
    assert len({a["viewbox"].split()[-1] for a in page.all("svg")}) == 1


def test_a_build_equals_itself(pair):
    facts, _ = reports(pair)
    assert {f.change for f in comparison.figures(facts, facts)} == {"="}
    assert all(p.same for p in comparison.layers(facts, facts))


def test_layers_of_one_build_alone_are_shown_as_such(pair):
    a, b = reports(pair)
    b["layers"] = [*b["layers"][1:], {**b["layers"][0], "name": "extra", "kernel": "new"}]
    found = {p.name: p for p in comparison.layers(a, b)}
    assert found["extra"].kernels == ("–", "new")
    assert found[a["layers"][0]["name"]].macs.b is None


def test_compare_refuses_a_folder_without_a_report(pair, tmp_path):
    done = tool("compare", pair[0], tmp_path)
    assert done.exit_code == 2
    assert str(tmp_path) in done.stderr


def test_fit_agrees_with_builds_and_tells_who_is_too_small(tmp_path):
    (tmp_path / "net.tflite").write_bytes(writer.write(small()))
    found = {f["board"]: f for f in json.loads(tool("boards", "--fit", tmp_path / "net.tflite", "--json").stdout)}
    assert list(found) == list(load_boards())
    for board in ("pico", "esp8266", "nucleo_h743zi"):
        report = json.loads(
            tool("build", tmp_path / "net.tflite", "--board", board, "-o", tmp_path / board, "--json").stdout
        )
        seen = found[board]
        assert (seen["arena_bytes"], seen["ram_bytes"], seen["flash_bytes"], seen["fits"]) == (
            report["arena_bytes"], report["ram_bytes"], report["flash_bytes"], report["budget"]["fits"]
        )  # fmt: skip
        assert (seen["ram_budget"], seen["flash_budget"]) == (report["budget"]["ram"], report["budget"]["flash"])


def fitted(*more: object) -> list[dict]:
    """`boards --fit` of the example, as data."""
    done = tool("boards", "nucleo_l4r5zi", "esp32", "nucleo_f446re", "--fit", DIGITS, "--json", *more)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_fit_has_the_energy_of_a_build_where_the_board_was_measured_and_only_there(tmp_path):
    found = fitted()
    assert [f["board"] for f in found] == ["nucleo_l4r5zi", "esp32", "nucleo_f446re"]
    report = json.loads(tool("build", DIGITS, "--board", "nucleo_l4r5zi", "-o", tmp_path / "o", "--json").stdout)
    measured, *others = found
    assert measured["energy_uj"] == pytest.approx(report["energy_uj"], rel=1e-3)
    assert measured["energy_range_uj"] == pytest.approx(report["energy_range_uj"], rel=1e-3)
    assert measured["energy_source"] == report["energy_source"]
    assert [(f["energy_uj"], f["energy_range_uj"], f["energy_source"]) for f in others] == [(None, None, None)] * 2
    assert "days" not in measured


def test_fit_tells_how_long_a_battery_lasts_from_the_most_energy_to_the_least():
    measured, _, other = fitted("--battery", 230, "--volts", 3, "--rate", 10, "--sleep-ua", 5)
    battery = Battery(230, 10, 3, 5)
    least, most = measured["energy_range_uj"]
    assert measured["days"] == [battery.days(most), battery.days(least)]
    assert (measured["keeps_up"], other["keeps_up"], other["days"]) == (True, True, None)


def test_a_board_that_is_too_slow_for_the_rate_is_told():
    measured, *_ = fitted("--battery", 230, "--rate", 1e6)
    assert (measured["keeps_up"], measured["days"]) == (False, None)
    done = tool("boards", "nucleo_l4r5zi", "--fit", DIGITS, "--battery", 230, "--rate", 1e6)
    assert "too slow" in done.stdout


def test_fit_as_a_page_is_self_contained_and_has_a_row_a_board(tmp_path):
    done = tool("boards", "--fit", DIGITS, "--battery", 230, "--rate", 10, "--html", tmp_path / "boards.html")
    assert done.stdout == f"wrote {tmp_path / 'boards.html'}\n"
    text = (tmp_path / "boards.html").read_text()
    assert "http" not in text.replace("http-equiv", "")
    page = Page(text)
    assert len(page.all("tr")) == 1 + len(load_boards())
    assert len(page.all("td", class_="meter")) == 2 * len(load_boards())
    assert "MLPerf" in text


@pytest.mark.parametrize(("options", "said"), [
    (("--battery", "3", "--rate", "2"), "needs a model"), (("--html", "x.html"), "needs a model"),
    (("--fit", DIGITS, "--rate", "2"), "needs --battery"), (("--fit", DIGITS, "--battery", "2"), "needs --rate"),
    (("--fit", DIGITS, "--battery", "2", "--rate", "0"), "not a positive number"),
])  # fmt: skip
def test_options_of_the_battery_that_make_no_sense_are_refused(options, said):
    done = tool("boards", *options)
    assert done.exit_code == 2
    assert said in done.stderr


def test_fit_of_one_board_as_text():
    done = tool("boards", "esp32c3", "--fit", DIGITS)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("digits.tflite fits 1 of 1 boards")


def test_doctor_lists_every_tool_that_some_board_needs():
    done = tool("doctor", "--json")
    assert done.exit_code == 0, done.stderr
    names = {c["name"] for c in json.loads(done.stdout)}
    wanted = {b.core.compiler for b in load_boards().values()}
    wanted |= {b.emulator.program for b in load_boards().values() if b.emulator}
    assert wanted <= names
    assert "tools are here" in tool("doctor").stdout


def test_doctor_on_a_bare_machine_gives_a_remedy_for_everything(monkeypatch):
    def bare(name: str) -> None:
        return None

    monkeypatch.setattr(doctor.shutil, "which", bare)
    monkeypatch.setattr(doctor.importlib.util, "find_spec", bare)
    found = doctor.checks()
    missing = [c for c in found if c.found is None]
    assert {c.name for c in missing} >= {"C compiler", "PlatformIO", "qemu-system-arm", "Python package serial"}
    assert all(c.fix for c in missing)
    assert "setup-emulators" in next(c.fix for c in missing if c.name == "arm-none-eabi-gcc")


@needs_cc
def test_a_new_project_builds_verifies_and_runs_with_make(tmp_path, monkeypatch):
    done = tool("new", tmp_path / "p", "--model", DIGITS, "--board", "emu_cortex_m4")
    assert done.exit_code == 0, done.stderr
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    ran = subprocess.run(
        ["make", "-C", str(tmp_path / "p"), "all", "verify", "run"], capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    assert "equal to the last bit" in ran.stdout
    assert "9: " in ran.stdout.splitlines()[-2]


@pytest.mark.parametrize(("environment", "coloured"), [({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)])
def test_no_color_means_no_escape_codes(environment, coloured, tmp_path):
    done = CliRunner().invoke(main, ["compare", str(tmp_path), str(tmp_path)], env=environment, color=True)
    assert done.exit_code == 2
    assert ("\x1b[" in done.stderr) == coloured


def test_the_shell_is_offered_every_command():
    done = CliRunner().invoke(
        main, prog_name="tinycomp",
        env={"_TINYCOMP_COMPLETE": "bash_complete", "COMP_WORDS": "tinycomp ", "COMP_CWORD": "1"},
    )  # fmt: skip
    offered = {line.split(",")[1] for line in done.stdout.splitlines()}
    assert set(main.commands) <= offered


def test_new_leaves_a_folder_alone_that_holds_something(tmp_path):
    (tmp_path / "thesis.txt").write_text("years")
    done = tool("new", tmp_path, "--model", DIGITS)
    assert done.exit_code == 2
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
