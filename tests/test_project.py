"""The emitted project: every board and framework renders, its main compiles and runs on stubs, manifests are valid."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinycomp.emit.project import Project, plain, project_files, semver
from tinycomp.errors import BadInput
from tinycomp.target import FRAMEWORKS, Board, load_boards

BOARDS = load_boards()
STUBS = Path(__file__).parent / "stubs"
TARGETS = [(board, framework) for board in BOARDS.values() for framework in board.frameworks]
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wundef", "-pedantic", "-Werror")
LIBRARY = (
    "lib/kws/library.json", "lib/kws/library.properties", "lib/kws/CMakeLists.txt", "lib/kws/idf_component.yml",
    "lib/kws/zephyr/module.yml", "lib/kws/zephyr/CMakeLists.txt", "lib/kws/zephyr/Kconfig",
)  # fmt: skip
# Dtypes of the model in stubs/kws.h.
INPUTS, OUTPUTS = ("int8", "float32"), ("int8", "float32", "int32")
# The first line that the stub model's outputs make on each framework: real values where printing knows them.
INTEGERS = ("output 0: -128 -127 127 0 0 0 0 0 0 0 0 0 0 0 0 0 ...\n"
            "output 1, in thousandths: -500 1250\n"
            "output 2: -2147483648 2147483647 0 -7\n")  # fmt: skip
REALS = ("output 0: 0.0000 0.2500 63.7500 32.0000 32.0000 32.0000 32.0000 32.0000 32.0000 32.0000 32.0000 32.0000 "
         "32.0000 32.0000 32.0000 32.0000 ...\n"
         "output 1: -0.5000 1.2500\n"
         "output 2: -2147483648.0000 2147483648.0000 0.0000 -7.0000\n")  # fmt: skip

every_target = pytest.mark.parametrize(("board", "framework"), TARGETS, ids=[f"{b.id}-{f}" for b, f in TARGETS])
needs_gcc = pytest.mark.skipif(not shutil.which("gcc") or not shutil.which("g++"), reason="gcc is not installed")


def project(board: Board, framework: str, *, push: bool = False, description: str = "Keyword spotting") -> Project:
    """A project for the model of stubs/kws.h."""
    inputs = INPUTS[:1] if push else INPUTS
    return Project("kws", board, framework, "0.1.0", "ab" * 32, description, inputs, OUTPUTS, push)


def write(files: dict[str, str], folder: Path) -> Path:
    """Put the files into the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def main_of(files: dict[str, str]) -> str:
    """The path of the one main."""
    (path,) = (name for name in files if name.startswith("src/"))
    return path


def compiler(path: str) -> list[str]:
    """gcc or g++ with every warning an error, for a source file of the project."""
    dialect = ["g++", "-std=c++17"] if path.endswith(".cpp") else ["gcc", "-std=c99"]
    # Arduino, ESP-IDF and the HAL are not pedantic themselves, but what is emitted around them can be.
    return [*dialect, *WARNINGS, "-isystem", str(STUBS), "-I", str(STUBS)]


@every_target
def test_a_project_holds_what_the_contract_lists(board: Board, framework: str) -> None:
    files = project_files(project(board, framework))
    assert set(LIBRARY) < set(files)
    assert ("platformio.ini" in files) == (board.platformio is not None)
    assert ("CMakeLists.txt" in files) == (board.platformio is None)
    assert main_of(files) == ("src/main.cpp" if framework in ("arduino", "mbed") else "src/main.c")
    assert all(text.endswith("\n") and not text.endswith("\n\n") for text in files.values())
    assert all("{{" not in text and "{%" not in text for text in files.values())
    assert not any(re.search(r"[ \t]+$|\n\n\n", text, re.MULTILINE) for text in files.values())


@every_target
def test_equal_projects_give_equal_bytes(board: Board, framework: str) -> None:
    first, second = (project_files(project(board, framework)) for _ in range(2))
    assert first == second
    assert list(first) == sorted(first)


@every_target
def test_platformio_ini_names_the_board(board: Board, framework: str) -> None:
    if board.platformio is None:
        assert framework == "bare"
        return
    ini = configparser.ConfigParser()
    ini.read_string(project_files(project(board, framework))["platformio.ini"])
    assert ini.sections() == [f"env:{board.id}"]
    assert dict(ini[f"env:{board.id}"]) == {
        "platform": board.platformio.platform,
        "board": board.platformio.board,
        "framework": framework,
        "monitor_speed": "115200",
    }


# A main depends on its framework, on the HAL's name and on whether there are caches: one board of each kind will do.
KINDS = list({(f, (b.platformio.hal, b.core.id) if b.platformio and f == "stm32cube" else None): (b, f)
              for b, f in TARGETS}.values())  # fmt: skip


@needs_gcc
@pytest.mark.parametrize("push", [False, True], ids=["held", "pushed"])
@pytest.mark.parametrize(("board", "framework"), KINDS, ids=[f"{b.id}-{f}" for b, f in KINDS])
def test_main_compiles_without_a_warning(board: Board, framework: str, push: bool, tmp_path: Path) -> None:
    files = project_files(project(board, framework, push=push))
    main = main_of(files)
    command = [*compiler(main), "-fsyntax-only", str(write(files, tmp_path) / main)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


RUNS = [
    ("emu_cortex_m0", "bare", ("bare_putchar.c",), INTEGERS, ""),
    ("bluepill_f103c8", "cmsis", ("bare_putchar.c",), INTEGERS, ""),
    ("bluepill_f103c8", "stm32cube", (), INTEGERS, "took 12 ms\n"),
    ("nucleo_h743zi", "stm32cube", (), INTEGERS, "took 12 ms\n"),
    ("nrf52840_dk", "zephyr", (), INTEGERS, "took 12 ms\n"),
    ("nrf52840_dk", "mbed", (), INTEGERS, "took 1234 microseconds\n"),
    ("esp32", "arduino", ("arduino_main.cpp",), REALS, "took 1234 microseconds\n"),
    ("esp32", "espidf", ("espidf_main.c",), REALS, "took 1234 microseconds\n"),
]


@needs_gcc
@pytest.mark.parametrize("push", [False, True], ids=["held", "pushed"])
@pytest.mark.parametrize(("board", "framework", "extra", "said", "took"), RUNS, ids=[f"{r[0]}-{r[1]}" for r in RUNS])
def test_main_fills_the_inputs_runs_and_prints(
    board: str, framework: str, extra: tuple[str, ...], said: str, took: str, push: bool, tmp_path: Path
) -> None:
    files = project_files(project(BOARDS[board], framework, push=push))
    folder, main = write(files, tmp_path), main_of(files)
    objects: list[str] = []
    for source in (folder / main, STUBS / "kws.c", *(STUBS / name for name in extra)):
        objects.append(str(tmp_path / f"{source.stem}_{len(objects)}.o"))
        sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        subprocess.run([*compiler(source.name), *sanitize, "-c", str(source), "-o", objects[-1]], check=True)
    program = str(tmp_path / "program")
    subprocess.run(["g++", "-fsanitize=address,undefined", *objects, "-o", program], check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == (said + took, "", 7)


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
    mains = {
        name: project_files(project(BOARDS[name], "stm32cube"))["src/main.c"]
        for name in ("nucleo_f746zg", "nucleo_f446re")
    }
    assert "SCB_EnableDCache();" in mains["nucleo_f746zg"]
    assert "Cache" not in mains["nucleo_f446re"]


def test_every_framework_has_a_main_on_some_board() -> None:
    assert {framework for _, framework in TARGETS} == set(FRAMEWORKS)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Kws"}, {"name": "int"}, {"name": "a-b"}, {"name": "x\ny"}, {"framework": "zephyr"}, {"sha256": "ab"},
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
