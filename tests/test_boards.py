"""Board and core data, their strict loader, and budgets."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tinycomp import resources
from tinycomp.cores import FEATURES, Core, load_core, load_cores
from tinycomp.errors import BadInput, ToolMissing
from tinycomp.target import Board, Budget, load_board, load_boards, parse_bytes

BOARDS = load_boards()
CORES = load_cores()
NEEDED = (
    "bluepill_f103c8", "ek_ra8d1",
    "emu_cortex_m0", "emu_cortex_m3", "emu_cortex_m33", "emu_cortex_m4", "emu_cortex_m55", "emu_cortex_m7",
    "emu_riscv32", "emu_xtensa", "esp32", "esp32c3", "esp32c6", "esp32s3", "esp8266", "esp_wrover_kit",
    "freenove_esp32_s3_wroom", "nano33ble", "nrf52840_dk",
    "nucleo_f446re", "nucleo_f746zg", "nucleo_h743zi", "nucleo_l4r5zi", "nucleo_u575zi_q", "pico",
)  # fmt: skip
# Clock in MHz, flash and RAM in bytes as PlatformIO's manifests and QEMU's machines have them.
HARDWARE = {
    "esp32": (240, 4194304, 327680), "esp8266": (80, 4194304, 81920), "nucleo_l4r5zi": (120, 2097152, 655360),
    "nucleo_f446re": (180, 524288, 131072), "nucleo_f746zg": (216, 1048576, 327680),
    "nucleo_h743zi": (400, 2097152, 524288), "nucleo_u575zi_q": (160, 2097152, 786432),
    "bluepill_f103c8": (72, 65536, 20480), "pico": (133, 2097152, 270336), "nrf52840_dk": (64, 1048576, 262144),
    "nano33ble": (64, 983040, 262144), "emu_cortex_m0": (16, 262144, 16384), "emu_cortex_m3": (24, 131072, 8192),
    "emu_cortex_m4": (168, 1048576, 196608), "emu_riscv32": (160, 4194304, 327680), "emu_xtensa": (80, 1048576, 81920),
}  # fmt: skip

every_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS.keys())


@pytest.fixture
def boards_folder(tmp_path: Path) -> Path:
    """A copy of the data that a test may break."""
    return Path(shutil.copytree(resources.path("boards"), tmp_path / "boards"))


def edit(folder: Path, name: str, old: str, new: str) -> None:
    """Replace text in a board file, which must be there."""
    file = folder / name
    text = file.read_text()
    assert old in text, f"{name} has no {old!r}"
    file.write_text(text.replace(old, new, 1))


def test_every_board_that_users_were_promised_is_there() -> None:
    assert tuple(BOARDS) == NEEDED


@every_board
def test_usable_memory_is_within_the_hardware_and_has_a_source(board: Board) -> None:
    for region in board.regions:
        assert 0 < region.usable <= region.size
        assert all(0 < usable <= region.size for usable in region.usable_by.values())
        assert len(region.source) > 20
    assert board.flash.usable < board.flash.size
    assert board.sram.usable < board.sram.size


@every_board
def test_a_budget_leaves_room_for_the_stack_with_every_framework(board: Board) -> None:
    for framework in board.frameworks:
        budget = Budget.of(board, framework=framework)
        assert budget.ram == board.sram.usable_with(framework) - board.stack_bytes > 4096
        assert budget.flash == board.flash.usable_with(framework) >= 32 * 1024


@every_board
def test_a_board_can_be_built_for_or_says_what_emulates_it(board: Board) -> None:
    if board.emulated:
        assert board.platformio is None
        assert board.frameworks == ("bare",)
        assert all(region.origin is not None for region in board.regions)
    elif board.id != "ek_ra8d1":
        assert board.platformio is not None


@every_board
def test_the_emulator_runs_the_instruction_set_of_the_board(board: Board) -> None:
    if board.emulator is None:
        assert board.core.id in ("xtensa-lx6", "xtensa-lx7")
        return
    stand_in = BOARDS[board.emulator.board]
    assert stand_in.emulated
    families = {"arm", "riscv", "xtensa"}
    assert stand_in.core.features & families == board.core.features & families
    extras = {"dsp", "mve", "fpu", "mul64"}
    assert stand_in.core.features & extras <= board.core.features & extras


@pytest.mark.parametrize("board_id", HARDWARE)
def test_clock_and_sizes_are_those_of_the_hardware(board_id: str) -> None:
    board = BOARDS[board_id]
    assert (board.clock_hz // 1_000_000, board.flash.size, board.sram.size) == HARDWARE[board_id]


def test_an_esp32_array_may_not_be_larger_than_the_linker_segment() -> None:
    esp32 = BOARDS["esp32"]
    assert esp32.sram.usable_with("arduino") <= 0x2C200 - 0xDB5C
    assert esp32.sram.usable_with("arduino") < esp32.sram.usable_with("espidf") <= 0x2C200


def test_energy_is_given_where_somebody_measured_it_and_only_there() -> None:
    measured = {b.id: (b.energy.uj_per_mcycle, b.energy.least, b.energy.most) for b in BOARDS.values() if b.energy}
    assert measured == {"nucleo_l4r5zi": (278.0, 275.0, 282.0), "nucleo_u575zi_q": (146.0, 143.0, 150.0)}
    assert all("MLPerf" in b.energy.source for b in BOARDS.values() if b.energy)


@pytest.mark.parametrize("core", CORES.values(), ids=CORES.keys())
def test_every_core_has_known_features_and_a_timing_that_says_where_it_comes_from(core: Core) -> None:
    assert core.features <= set(FEATURES)
    assert len(core.features & {"arm", "riscv", "xtensa"}) == 1
    assert core.timing.published or "ssumed" in core.timing.source
    assert (core.timing.simd_mac is not None) == ("dsp" in core.features)
    assert (core.timing.vector_op is not None) == bool(core.features & {"mve", "pie"})
    assert core.timing.load >= core.timing.load_next
    assert core.timing.branch_taken >= core.timing.branch
    assert core.compiler == f"{core.tools}gcc"


@pytest.mark.parametrize("core", CORES.values(), ids=CORES.keys())
def test_the_flags_of_a_core_are_known_to_its_compiler(core: Core) -> None:
    if shutil.which(core.compiler) is None:
        pytest.skip(f"{core.compiler} is not installed")
    command = [core.compiler, *core.flags, *core.optimise, "-x", "c", "-c", "-o", "/dev/null", "-"]
    code = "int f(int a, int b) { return a * b; }"
    done = subprocess.run(command, input=code, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_only_cores_with_a_table_of_their_vendor_call_it_published() -> None:
    published = {core.id for core in CORES.values() if core.timing.published}
    assert published == {"cortex-m0", "cortex-m0plus", "cortex-m3", "cortex-m4"}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("esp-32", "esp32"), ("nucleo_f446", "nucleo_f446re"), ("bluepill", "bluepill_f103c8"), ("Pico", "pico"),
     ("esp32-s3", "esp32s3"), ("emu_m4", "emu_cortex_m4")],
)  # fmt: skip
def test_an_unknown_board_is_answered_with_the_nearest_names(typed: str, meant: str) -> None:
    with pytest.raises(BadInput, match=rf"unknown board '{typed}'; did you mean .*'{meant}'"):
        load_board(typed)


def test_a_name_like_no_other_is_answered_with_where_to_look() -> None:
    with pytest.raises(BadInput, match="tinycomp boards"):
        load_board("zx81")


def test_an_unknown_core_is_answered_with_the_nearest_names() -> None:
    with pytest.raises(BadInput, match="'cortex-m4'"):
        load_core("cortex_m4")


def test_a_board_is_loaded_alone_as_it_is_among_the_others() -> None:
    assert load_board("esp32") == BOARDS["esp32"]
    assert load_core("cortex-m4") == CORES["cortex-m4"]


@pytest.mark.parametrize("board_id", ["cores", "../boards/esp32", "", "esp32.toml"])
def test_a_board_id_is_a_name_and_not_a_path(board_id: str) -> None:
    with pytest.raises(BadInput, match="unknown board"):
        load_board(board_id)


# Text of esp32.toml, what takes its place, the key that the error names, what it says.
FAULTS: list[tuple[str, str, str, str]] = [
    ("core =", "cor =", "core", "did you mean 'cor'"),
    ("clock_hz = 240_000_000", "clock_hz = 240_000_000\nclock_mhz = 240", "clock_mhz", "unknown key"),
    ("clock_hz = 240_000_000", 'clock_hz = "240 MHz"', "clock_hz", "must be an integer, not a string"),
    ("clock_hz = 240_000_000", "clock_hz = 0", "clock_hz", "at least 1"),
    ("clock_hz = 240_000_000", "clock_hz = true", "clock_hz", "must be an integer"),
    ('title = "', 'title = ""  # "', "title", "must not be empty"),
    ('id = "esp32"', 'id = "esp33"', "id", "must be the file's name, 'esp32'"),
    ('core = "xtensa-lx6"', 'core = "xtensa-lx8"', "core", "did you mean .*'xtensa-lx6'"),
    ('"arduino", "espidf"', '"arduino", "esp-idf"', "frameworks", "did you mean 'espidf'"),
    ('"arduino", "espidf"', '"arduino", "arduino"', "frameworks", "twice"),
    ('["arduino", "espidf"]', '"arduino"', "frameworks", "must be a list"),
    ('["arduino", "espidf"]', "[]", "frameworks", "must name one"),
    ("[memory.sram]", "[memory.ram]", "memory.ram", "did you mean 'sram'"),
    ("usable = 100_000", "usable = 400_000", "memory.sram.usable", "400,000 bytes of a region of"),
    ("usable = 100_000", "useable = 100_000", "memory.sram.usable", "did you mean 'useable'"),
    ("espidf = 160_000", "espidf = 460_000", "memory.sram.usable_by.espidf", "of a region of"),
    ("espidf = 160_000", "zephyr = 160_000", "memory.sram.usable_by.zephyr", "unknown key"),
    ("stack_bytes = 0", "stack_bytes = 200_000", "stack_bytes", "no RAM"),
    ("stack_bytes = 0", "stack_bytes = -1", "stack_bytes", "at least 0"),
    ('board = "esp32dev"', 'boards = "esp32dev"', "platformio.board", "did you mean 'boards'"),
    ("stack_bytes = 0", 'stack_bytes = 0\nemulator = "emu_xtnsa"', "emulator", "'emu_xtensa'"),
    ("stack_bytes = 0", 'stack_bytes = 0\nemulator = "esp8266"', "emulator", "not an emulated board"),
    ("[platformio]", "platformio]", "", "is not TOML"),
]


@pytest.mark.parametrize(("old", "new", "where", "what"), FAULTS, ids=[f"{new[:24]}" for _, new, _, _ in FAULTS])
def test_a_fault_in_a_board_file_is_named_by_file_and_key(
    boards_folder: Path, old: str, new: str, where: str, what: str
) -> None:
    edit(boards_folder, "esp32.toml", old, new)
    with pytest.raises(BadInput, match=what) as caught:
        load_board("esp32", boards_folder)
    file, _, named = caught.value.where.partition(", ")
    assert (file.endswith("boards/esp32.toml"), named) == (True, where)


@pytest.mark.parametrize(
    ("old", "new", "where", "what"),
    [
        ('"dsp"', '"dps"', "cores.toml, cortex-m4.features", "did you mean 'dsp'"),
        ("simd_mac = 1", "simd_max = 1", "cores.toml, cortex-m4.timing.simd_max", "did you mean 'simd_mac'"),
        ("alu = 1\nmul = 1\nmla = 1", "alu = 1\nmla = 1", "cores.toml, cortex-m4.timing.mul", "is missing"),
        ("published = true", 'published = "yes"', "cores.toml, cortex-m4.timing.published", "true or false"),
        ("div = 6", "div = 6.5", "cores.toml, cortex-m4.timing.div", "must be an integer, not a float"),
    ],
)
def test_a_fault_in_the_core_file_is_named_by_core_and_key(
    boards_folder: Path, old: str, new: str, where: str, what: str
) -> None:
    file = boards_folder / "cores.toml"
    head, mark, rest = file.read_text().partition("[cortex-m4]")
    assert old in rest
    file.write_text(head + mark + rest.replace(old, new, 1))
    with pytest.raises(BadInput, match=what) as caught:
        load_cores(boards_folder)
    assert caught.value.where.endswith(where)


def test_energy_must_be_positive(boards_folder: Path) -> None:
    edit(boards_folder, "nucleo_l4r5zi.toml", "uj_per_mcycle = 278", "uj_per_mcycle = -278")
    with pytest.raises(BadInput, match=r"energy\.uj_per_mcycle: must be positive"):
        load_board("nucleo_l4r5zi", boards_folder)


def test_energy_lies_within_its_own_range(boards_folder: Path) -> None:
    edit(boards_folder, "nucleo_l4r5zi.toml", "least = 275", "least = 280")
    with pytest.raises(BadInput, match=r"energy\.uj_per_mcycle: is not between 280 and 282"):
        load_board("nucleo_l4r5zi", boards_folder)


def test_a_new_board_needs_nothing_but_its_file(boards_folder: Path) -> None:
    text = (boards_folder / "pico.toml").read_text().replace('id = "pico"', 'id = "my_board"')
    (boards_folder / "my_board.toml").write_text(text)
    assert load_boards(boards_folder)["my_board"].core.id == "cortex-m0plus"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("20480", 20480), ("1", 1), ("64K", 65536), ("64k", 65536), ("64KB", 65536), ("64KiB", 65536),
        ("64 KiB", 65536), ("1M", 1 << 20), ("2MB", 2 << 20), (" 512K ", 512 << 10), ("20_480", 20480), ("100B", 100),
        ("4096M", 1 << 32),
    ],
)  # fmt: skip
def test_bytes_are_read_as_linker_scripts_write_them(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "text",
    ["", " ", "K", "0", "0K", "-1", "-64K", "+5", "1.5K", "64G", "64X", "64KK", "6 4K", "0x100", "1e3", "_1", "1_",
     "1__0", "4097M", "٣", "²", "nan", "64K\n64K", "9" * 5000],
)  # fmt: skip
def test_nonsense_is_not_a_number_of_bytes(text: str) -> None:
    with pytest.raises(BadInput, match="write it as 20480, 64K or 1M"):
        parse_bytes(text)


def test_a_budget_is_replaced_where_the_user_says_so() -> None:
    board = BOARDS["nucleo_f446re"]
    assert Budget.of(board, flash=100, ram=200, max_ms=3.5) == Budget(100, 200, 3.5)
    assert Budget.of(board, ram=board.sram.size).ram == board.sram.size
    assert Budget.of(board).max_ms is None


@pytest.mark.parametrize(
    "make",
    [
        lambda board: Budget.of(board, ram=131_073),
        lambda board: Budget.of(board, ram=0),
        lambda board: Budget.of(board, flash=-5),
        lambda board: Budget.of(board, flash=524_289),
        lambda board: Budget.of(board, max_ms=0),
        lambda board: Budget.of(board, max_ms=float("nan")),
        lambda board: Budget.of(board, framework="espidf"),
    ],
)
def test_a_budget_that_no_board_can_keep_is_refused(make: Callable[[Board], Budget]) -> None:
    with pytest.raises(BadInput, match=r"between 1 and|positive time|use one of: arduino"):
        make(BOARDS["nucleo_f446re"])


def test_boards_and_templates_are_found_in_a_checkout() -> None:
    assert (resources.path("boards") / "cores.toml").is_file()
    assert (resources.path("templates") / "project").is_dir()


def test_an_installed_package_prefers_its_own_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "tinycomp"
    (package / "_data" / "boards").mkdir(parents=True)
    (package.parent / "boards").mkdir()
    (package.parent / "templates").mkdir()
    monkeypatch.setattr(resources, "__file__", str(package / "resources.py"))
    assert resources.path("boards") == package / "_data" / "boards"
    assert resources.path("templates") == package.parent / "templates"


def test_a_broken_installation_says_how_to_mend_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "__file__", str(tmp_path / "tinycomp" / "resources.py"))
    with pytest.raises(ToolMissing, match="reinstall"):
        resources.path("boards")


def test_no_source_string_names_a_place_on_somebodys_machine() -> None:
    for file in sorted(resources.path("boards").glob("*.toml")):
        assert not re.search(r"/work|/tmp|/home", file.read_text()), file.name
