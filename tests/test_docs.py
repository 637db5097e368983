"""The documentation: no dead link, no command or option that is not there, C that compiles, a site that builds."""

from __future__ import annotations

import importlib.util
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from docs import generate, screenshots
from tests.emulated import needs_tools
from tests.support import needs_cc
from tests.test_html import DIGITS
from tinycomp import build, cli, frontend
from tinycomp.ops import OPERATORS
from tinycomp.target import load_boards

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
KEYWORDS = EXAMPLES / "keywords" / "keywords.tflite"
WRITTEN = sorted([*DOCS.rglob("*.md"), *EXAMPLES.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
IDS = [str(p.relative_to(ROOT)) for p in WRITTEN]


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings."""
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", WRITTEN, ids=IDS)
def test_every_link_inside_the_repository_leads_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        made = file.relative_to(DOCS).as_posix() if file.is_relative_to(DOCS) else ""
        assert file.exists() or made in generate.PAGES, f"{page.name}: {target}"
        if anchor:
            text = generate.PAGES[made]() if made in generate.PAGES else file.read_text()
            assert anchor in anchors(text), f"{page.name}: {target}"


@pytest.mark.parametrize("page", WRITTEN, ids=IDS)
def test_every_command_and_option_of_a_page_exists(page: Path):
    for command, rest in re.findall(r"(?:`|\$ )tinycomp ([a-z-]+)\b([^`\n]*)", page.read_text()):
        assert command in cli.main.commands, command
        options = {o for p in cli.main.commands[command].params for o in p.opts}
        assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= options, (command, rest)


def test_generated_pages_have_every_command_option_board_and_operator():
    commands = generate.commands()
    for name, command in cli.main.commands.items():
        assert f"\n## {name}\n" in commands
        assert all(p.opts[0] in commands for p in command.params if p.param_type_name == "option")
    assert {f"\n## {board}\n" in generate.boards() for board in load_boards()} == {True}
    assert {f"| {name} |" in generate.operators() for name in OPERATORS} == {True}


def test_the_pictures_are_those_that_the_command_takes_and_small():
    assert {p.name for p in screenshots.IMAGES.iterdir()} == set(screenshots.SHOTS)
    used = "".join(p.read_text() for p in WRITTEN)
    for name, shot in screenshots.SHOTS.items():
        data = (screenshots.IMAGES / name).read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", data[16:24]) == (shot.width, shot.height)
        assert len(data) < 100_000
        assert f"images/{name})" in used


@pytest.mark.parametrize("path", sorted(generate.PAGES))
def test_generated_tables_have_as_many_cells_in_every_line(path):
    blocks = [b.splitlines() for b in generate.PAGES[path]().split("\n\n") if b.startswith("| ")]
    assert blocks
    for lines in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


@needs_cc
@pytest.mark.parametrize(("page", "model"), [("camera", DIGITS), ("microphone", KEYWORDS)])
def test_the_c_of_a_how_to_compiles_against_a_pushed_build(page: str, model: Path, tmp_path: Path):
    made = build.compile_model(frontend.load(model), build.Options(board="esp32s3", stream="push"))
    (tmp_path / f"{made.name}.h").write_text(made.sources[f"{made.name}.h"])
    (snippet,) = re.findall(r"```c\n(.*?)```", (DOCS / "howto" / f"{page}.md").read_text(), re.DOTALL)
    (tmp_path / "snippet.c").write_text(snippet)
    command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-I", str(EXAMPLES / "app"), "-fsyntax-only"]
    subprocess.run([*command, "snippet.c"], cwd=tmp_path, check=True)


@needs_cc
@pytest.mark.slow
def test_the_commands_of_the_first_ten_minutes_run_in_their_order(tmp_path: Path, monkeypatch):
    needs_tools(load_boards()["nucleo_l4r5zi"])
    shutil.copy(DIGITS, tmp_path / "model.tflite")
    monkeypatch.chdir(tmp_path)
    shown = re.findall(r"^\$ tinycomp (.*)$", (DOCS / "index.md").read_text(), re.MULTILINE)
    needs_a_board = [line for line in shown if line.startswith("flash") or "--on device" in line]
    assert len(needs_a_board) == 2
    for line in shown:
        if line not in needs_a_board and not line.startswith("boards"):  # seconds, and tests/test_commands.py has it
            done = CliRunner().invoke(cli.main, line.split())
            assert done.exit_code == 0, (line, done.output)


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="mkdocs is missing: pip install '.[docs]'")
def test_the_site_builds_strictly(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for page in ("index.html", "reference/cli/index.html", "reference/boards/index.html", "howto/camera/index.html"):
        assert (tmp_path / "site" / page).is_file()
