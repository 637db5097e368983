"""The emitted project: every board and framework renders, its ports compile and serve on stubs, manifests are valid."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import firmware
from tests.firmware import INPUTS, OUTPUTS, STUBS, write
from tinycomp.emit.project import Project, plain, port_file, project_files, semver
from tinycomp.emit.uarts import UARTS
from tinycomp.errors import BadInput
from tinycomp.harness.link import Link, Patience
from tinycomp.target import FRAMEWORKS, Board, load_boards

BOARDS = load_boards()
TARGETS = [(board, framework) for board in BOARDS.values() for framework in board.frameworks]
LIBRARY = (
    "lib/kws/library.json", "lib/kws/library.properties", "lib/kws/CMakeLists.txt", "lib/kws/idf_component.yml",
    "lib/kws/zephyr/module.yml", "lib/kws/zephyr/CMakeLists.txt", "lib/kws/zephyr/Kconfig",
)  # fmt: skip
APPLICATION = ("src/main.c", "src/serve.c", "src/serve.h", "src/frames.c", "src/frames.h", "src/port.h")
# What the application prints of the stub model's first inference, its inputs being the zero points.
SAID = (b"output 0: -3 -2 -1 0 1 2 3 4 5 6 7 8 9 10 11 12 ...\n"
        b"output 1, in thousandths: 0 0\n"
        b"output 2: -36 -72 -108 1\n")  # fmt: skip

BARE, CPP = ("bare", "cmsis", "libopencm3"), ("arduino", "mbed")

every_target = pytest.mark.parametrize(("board", "framework"), TARGETS, ids=[f"{b.id}-{f}" for b, f in TARGETS])
needs_gcc = pytest.mark.skipif(not shutil.which("gcc") or not shutil.which("g++"), reason="gcc is not installed")


def project(board: Board, framework: str, *, push: bool = False, description: str = "Keyword spotting") -> Project:
    """A project for the model of stubs/kws.h."""
    inputs = INPUTS[:1] if push else INPUTS
    return Project("kws", board, framework, "0.1.0", "ab" * 32, description, inputs, OUTPUTS, push)


@every_target
def test_a_project_holds_what_the_contract_lists(board: Board, framework: str) -> None:
    files = project_files(project(board, framework))
    assert {*LIBRARY, *APPLICATION, port_file(project(board, framework))} < set(files)
    assert ("platformio.ini" in files) == (board.platformio is not None or board.emulator is not None)
    assert ("CMakeLists.txt" in files) == (board.platformio is None)
    port = port_file(project(board, framework))
    assert port == f"src/port_{'bare' if framework in BARE else framework}.{'cpp' if framework in CPP else 'c'}"
    assert {name for name in files if name.startswith("src/")} == {*APPLICATION, port}
    assert all(text.endswith("\n") and not text.endswith("\n\n") for text in files.values())
    assert all("{{" not in text and "{%" not in text for text in files.values())
    assert not any(re.search(r"[ \t]+$", text, re.MULTILINE) for text in files.values())
    assert not any("\n\n\n" in text for name, text in files.items() if not name.endswith(".py"))


@every_target
def test_equal_projects_give_equal_bytes(board: Board, framework: str) -> None:
    first, second = (project_files(project(board, framework)) for _ in range(2))
    assert first == second
    assert list(first) == sorted(first)


@every_target
def test_platformio_ini_names_the_board_and_its_emulator(board: Board, framework: str) -> None:
    files = project_files(project(board, framework))
    if "platformio.ini" not in files:
        assert board.id == "ek_ra8d1"  # no PlatformIO, no emulator
        return
    ini = configparser.ConfigParser(interpolation=None)
    ini.read_string(files["platformio.ini"])
    assert set(ini.sections()) - {"platformio"} == {
        *([f"env:{board.id}"] if board.platformio else []),
        *(["env:emulated"] if board.emulator else []),
    }
    if board.platformio:
        assert ini.get("platformio", "default_envs", fallback=board.id) == board.id
        assert dict(ini[f"env:{board.id}"]) == {
            "platform": board.platformio.platform,
            "board": board.platformio.board,
            "framework": framework,
            "monitor_speed": "115200",
        }
    if board.emulator:
        assert ini["env:emulated"]["board"] == board.emulator.board


@every_target
def test_the_application_is_the_same_for_every_board(board: Board, framework: str) -> None:
    files, other = project_files(project(board, framework)), project_files(project(BOARDS["esp32"], "espidf"))
    for name in ("src/serve.c", "src/serve.h", "src/frames.c", "src/frames.h"):
        assert files[name] == other[name]
    # The head says how to flash where PlatformIO does it, and port.h which file has the port.
    body = [text["src/main.c"].split("*/", 1)[1] for text in (files, other)]
    assert body[0] == body[1]
    assert Path(port_file(project(board, framework))).name in files["src/port.h"]


# A port depends on its framework, on the HAL, on whether there are caches, and emulated ones on the instruction set,
# which only their own compilers know (test_emulated_firmware.py): one board of each kind will do.
KINDS = list({(f, (b.platformio.hal, b.core.id) if b.platformio and f == "stm32cube" else None): (b, f)
              for b, f in TARGETS if not b.emulated}.values())  # fmt: skip
KIND_IDS = [f"{b.id}-{f}" for b, f in KINDS]


def compilers() -> list[str]:
    """The C compilers of this machine."""
    return [name for name in ("gcc", "clang") if shutil.which(name)]


@needs_gcc
@pytest.mark.parametrize("push", [False, True], ids=["held", "pushed"])
@pytest.mark.parametrize(("board", "framework"), KINDS, ids=KIND_IDS)
def test_the_application_and_its_port_compile_without_a_warning(
    board: Board, framework: str, push: bool, tmp_path: Path
) -> None:
    """Profiled, too; what is not the framework's C++ also by clang."""
    model = firmware.stub("KWS_PROFILE", push=push)
    made = firmware.project(model, board, framework)
    write(project_files(made), tmp_path)
    for name in firmware.sources(made):
        for cc in compilers() if name.endswith(".c") else ["g++"]:
            dialect = [cc, *firmware.compiler(tmp_path / name)[1:]]
            command = [*dialect, *firmware.flags(model, tmp_path), "-D_POSIX_C_SOURCE=200809L", "-fsyntax-only"]
            done = subprocess.run([*command, str(tmp_path / name)], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")


@needs_gcc
@pytest.mark.parametrize(("board", "framework"), KINDS, ids=KIND_IDS)
def test_every_port_prints_the_first_inference_and_serves_the_pc(board: Board, framework: str, tmp_path: Path) -> None:
    """On stubs whose serial port is the process's standard input and output, under sanitizers."""
    program = firmware.host_program(firmware.stub(), board, framework, tmp_path)
    x, y = bytes(range(1, 13)), struct.pack("<2f", 1.5, -3)
    with firmware.running([program]) as (process, wire):
        said = b""
        while len(said) < len(SAID):
            said += wire.receive(20)
        assert said == SAID
        with Link(wire, Patience(reply=1, greeting=20)) as link:
            hello = link.hello()
            answers = [link.run((x, y), reset=k == 0) for k in range(3)]
            stack = link.stack()
        assert (hello.model, hello.inputs, hello.outputs) == ("kws", (12, 8), (300, 8, 16))
        for k, answer in enumerate(answers):
            assert answer.outputs[0][:12] == bytes(x[i] + i for i in range(12))
            assert answer.outputs[1:] == (struct.pack("<2f", 3, -6), struct.pack("<4i", 78, 156, 234, k + 1))
        assert process.stdin
        process.stdin.close()
        assert process.wait(20) == 0
    assert (stack is not None) == (framework in ("espidf", "stm32cube", "zephyr"))
    assert (hello.ticks_per_second is None) == (framework in BARE)


def test_library_json_says_what_every_build_system_asks() -> None:
    manifest = json.loads(project_files(project(BOARDS["esp32"], "arduino"))["lib/kws/library.json"])
    assert manifest["name"] == "kws"
    assert manifest["version"] == "0.1.0"
    assert manifest["frameworks"] == manifest["platforms"] == "*"
    assert manifest["headers"] == "kws.h"
    assert manifest["build"]["flags"] == list(BOARDS["esp32"].core.optimise)
    assert manifest["build"]["srcDir"] == manifest["build"]["includeDir"] == "src"


def test_the_flags_that_the_figures_assume_stand_in_every_manifest() -> None:
    flags = ("-O2", "-fno-schedule-insns")
    chosen = Project("kws", BOARDS["pico"], "arduino", "0.1.0", "0" * 64, flags=flags)
    files = project_files(chosen)
    assert json.loads(files["lib/kws/library.json"])["build"]["flags"] == list(flags)
    for name in ("lib/kws/CMakeLists.txt", "lib/kws/zephyr/CMakeLists.txt"):
        assert "-O2 -fno-schedule-insns" in files[name]


def test_platformio_itself_accepts_the_ini_and_the_manifests(tmp_path: Path) -> None:
    """Without its network: a license would be looked up in a list that it fetches, so it is left out here."""
    config = pytest.importorskip("platformio.project.config")
    parser = pytest.importorskip("platformio.package.manifest.parser")
    schema = pytest.importorskip("platformio.package.manifest.schema")
    for board, framework in TARGETS:
        folder = write(project_files(project(board, framework)), tmp_path / f"{board.id}-{framework}")
        if board.platformio:
            assert config.ProjectConfig.lint(str(folder / "platformio.ini")) == {"errors": [], "warnings": []}
        for name in ("library.json", "library.properties"):
            manifest = parser.ManifestParserFactory.new_from_file(str(folder / "lib/kws" / name)).as_dict()
            loaded = schema.ManifestSchema().load_manifest({k: v for k, v in manifest.items() if k != "license"})
            assert (loaded["name"], str(loaded["version"])) == ("kws", "0.1.0")


@pytest.mark.parametrize("board_id", ["esp32", "esp32s3", "esp32c3", "esp32c6"])
def test_esp_idf_runs_at_the_clock_of_the_report(board_id: str) -> None:
    board = BOARDS[board_id]
    text = project_files(project(board, "espidf"))["sdkconfig.defaults"]
    assert f"CONFIG_ESP_DEFAULT_CPU_FREQ_MHZ_{board.clock_hz // 1_000_000}=y\n" in text


def test_the_caches_of_a_cortex_m7_are_on() -> None:
    ports = {
        name: project_files(project(BOARDS[name], "stm32cube"))["src/port_stm32cube.c"]
        for name in ("nucleo_f746zg", "nucleo_f446re")
    }
    assert "SCB_EnableDCache();" in ports["nucleo_f746zg"]
    assert "Cache" not in ports["nucleo_f446re"]


def test_every_board_with_the_hal_has_a_serial_port() -> None:
    assert set(UARTS) == {board.id for board, framework in TARGETS if framework == "stm32cube"}


def test_every_framework_has_a_port_on_some_board() -> None:
    assert {framework for _, framework in TARGETS} == set(FRAMEWORKS)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Kws"}, {"name": "port"}, {"name": "serve"}, {"name": "frames"}, {"name": "int"}, {"name": "a-b"},
        {"name": "x\ny"}, {"framework": "zephyr"}, {"sha256": "ab"},
        {"sha256": "AB" * 32}, {"version": "one"}, {"version": "0.1\n[env:x]"}, {"inputs": ("int9",)},
        {"flags": ("-O2; rm",)}, {"flags": ("O2",)}, {"push": True, "inputs": ("int8", "int8")},
    ],
    ids=str,
)  # fmt: skip
def test_what_would_break_a_file_is_refused(change: dict[str, object]) -> None:
    fields: dict[str, object] = {
        "name": "kws",
        "framework": "arduino",
        "version": "0.1.0",
        "sha256": "0" * 64,
        **change,
    }
    with pytest.raises(BadInput):
        Project(board=BOARDS["esp32"], **fields)  # type: ignore[arg-type]


HOSTILE = '*/ #include "evil.h"\n[env:evil]\n"}, {"x": \\ ${PATH} %(x)s {{ 7*7 }} ; # \' `id` ??/ // é\u202e'


@every_target
def test_a_hostile_description_changes_nothing_but_itself(board: Board, framework: str) -> None:
    tame = project_files(project(board, framework, description="Keyword spotting"))
    wild = project_files(project(board, framework, description=HOSTILE))
    for name, text in tame.items():
        assert wild[name].count("\n") == text.count("\n")
        assert plain(HOSTILE) in wild[name] or wild[name] == text
    json.loads(wild["lib/kws/library.json"])


@given(st.text())
def test_a_plain_text_is_one_harmless_line_and_stays_as_it_is(text: str) -> None:
    line = plain(text)
    assert re.fullmatch(r"[A-Za-z0-9 .,:()_/+-]{0,200}", line)
    assert "*/" not in line
    assert line == line.strip() == plain(line)


@pytest.mark.parametrize(
    ("version", "semantic"),
    [("0.1.0", "0.1.0"), ("0.2.0.dev3", "0.2.0"), ("1.2", "1.2.0"), ("3", "3.0.0"), ("1.02.3+local", "1.2.3")],
)
def test_package_managers_get_three_numbers(version: str, semantic: str) -> None:
    assert semver(version) == semantic


@pytest.mark.parametrize("board_id", ["emu_cortex_m0", "ek_ra8d1", "emu_riscv32", "emu_xtensa"])
def test_the_cmake_project_compiles_for_its_core(board_id: str, tmp_path: Path) -> None:
    board = BOARDS[board_id]
    if not shutil.which("cmake") or not shutil.which(board.core.compiler):
        pytest.skip(f"cmake or {board.core.compiler} is not installed")
    folder = write(project_files(project(board, "bare")), tmp_path)
    source = folder / "lib/kws/src"
    source.mkdir()
    shutil.copy(STUBS / "kws.h", source)
    (source / "kws.c").write_text(
        '#include "kws.h"\nkws_status_t kws_invoke(kws_ctx_t *c) { (void)c; return KWS_OK; }\n'
    )
    (source / "kws_data.c").write_text("extern const int kws_data[1];\nconst int kws_data[1] = {1};\n")
    configure = ["cmake", "-S", str(folder), "-B", str(folder / "build"), "-DCMAKE_TOOLCHAIN_FILE=toolchain.cmake"]
    for command in (configure, ["cmake", "--build", str(folder / "build")]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning" not in (done.stdout + done.stderr).lower()
    assert list(folder.glob("build/**/libtinycomp_kws.a"))
