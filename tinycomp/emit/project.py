"""The project around the library: platformio.ini, the application and its port, and the library's manifests.

Nothing here comes from the model file but what `Project` has made harmless: a C prefix, a hash, a plain description.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tinycomp.emit.emulator import emulator_files
from tinycomp.emit.library import checked_name, environment
from tinycomp.emit.uarts import UARTS
from tinycomp.errors import BadInput
from tinycomp.harness import frames, messages
from tinycomp.ir import ITEM_BYTES
from tinycomp.target import Board

BAUD = 115_200
LICENSE = "Apache-2.0"

# Emitted file, template. The library's folder is lib/NAME, which manifests of every ecosystem describe.
_LIBRARY: tuple[tuple[str, str], ...] = (
    ("library.json", "library.json.j2"),
    ("library.properties", "library.properties.j2"),
    ("CMakeLists.txt", "CMakeLists.txt.j2"),
    ("idf_component.yml", "idf_component.yml.j2"),
    ("zephyr/module.yml", "zephyr_module.yml.j2"),
    ("zephyr/CMakeLists.txt", "zephyr_CMakeLists.txt.j2"),
    ("zephyr/Kconfig", "zephyr_Kconfig.j2"),
)
# The application, the same for every board: what it needs of one stands in src/port_*.
_APPLICATION: tuple[tuple[str, str], ...] = (
    ("src/main.c", "main.c.j2"),
    ("src/serve.c", "serve.c.j2"),
    ("src/serve.h", "serve.h.j2"),
    ("src/frames.c", "frames.c.j2"),
    ("src/frames.h", "frames.h.j2"),
    ("src/port.h", "port.h.j2"),
)
# The application around several models, which answers nothing over the serial port.
_SEVERAL: tuple[tuple[str, str], ...] = (("src/main.c", "main_several.c.j2"), ("src/port.h", "port.h.j2"))
# What a build with several memory regions has besides.
_MEMORY = (("src/memory.c", "memory.c.j2"),)
_BARE = (("src/port_bare.c", "port_bare.c.j2"),)
_EMULATED = (("src/port_bare.c", "port_emulated.c.j2"),)
# The port of each framework, and what the framework wants at the top of the project.
_FRAMEWORKS: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType({
    "arduino": (("src/port_arduino.cpp", "port_arduino.cpp.j2"),),
    "bare": _BARE,
    "cmsis": _BARE,
    "espidf": (("src/port_espidf.c", "port_espidf.c.j2"), ("sdkconfig.defaults", "app_sdkconfig.defaults.j2")),
    "libopencm3": _BARE,
    "mbed": (("src/port_mbed.cpp", "port_mbed.cpp.j2"), ("mbed_app.json", "app_mbed_app.json.j2")),
    "stm32cube": (("src/port_stm32cube.c", "port_stm32cube.c.j2"),),
    "zephyr": (("src/port_zephyr.c", "port_zephyr.c.j2"), ("zephyr/CMakeLists.txt", "app_zephyr_CMakeLists.txt.j2"),
               ("zephyr/prj.conf", "app_zephyr_prj.conf.j2")),
})  # fmt: skip
_PLATFORMIO = (("platformio.ini", "platformio.ini.j2"),)
_CMAKE = (("CMakeLists.txt", "app_CMakeLists.txt.j2"), ("toolchain.cmake", "app_toolchain.cmake.j2"))
# Headers in src/: a model of that name would have its own hidden by them.
_OWN_HEADERS = frozenset({"frames", "port", "serve"})
_REGION = re.compile(r"[a-z]{1,8}")
_SDKCONFIG = re.compile(r"CONFIG_[A-Z0-9_]+=[A-Za-z0-9]+")
# How long the firmware waits for the PC before the application gets its turn, in milliseconds.
_FIRST_MS = 20
# ESP-IDF gives main a stack of 3,584 bytes unless told otherwise.
_TASK_STACK = 8_192
# An emulated stack is painted as far as it may reach, but not megabytes of it.
_EMULATED_WINDOW = 65_536


@dataclass(frozen=True)
class Project:
    """What a project is made of. Raises BadInput where a field would make a broken or unsafe file.

    name: the C prefix. version: tinycomp's. sha256: of the source model, 64 hexadecimal digits. description: one
    line of any text, made harmless. inputs, outputs: dtypes in order. push: the library has NAME_push_row and no
    NAME_input. flags: what the figures assume, the core's `optimise` where None. regions: those besides SRAM in which
    the model has memory, for which the library has NAME_attach_REGION.
    """

    name: str
    board: Board
    framework: str
    version: str
    sha256: str
    description: str = ""
    inputs: tuple[str, ...] = ("int8",)
    outputs: tuple[str, ...] = ("int8",)
    push: bool = False
    flags: tuple[str, ...] | None = None
    regions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what the templates must never see."""
        checked_name(self.name)
        if self.name in _OWN_HEADERS:
            raise BadInput(f"{self.name!r} is the name of a file beside the application", where="--name",
                           fix=f"--name {self.name}_model")  # fmt: skip
        self.board.framework(self.framework)
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise BadInput(f"{self.sha256!r} is not a SHA-256 in hexadecimal", where="project")
        if not re.fullmatch(r"[0-9][0-9A-Za-z.+-]*", self.version):
            raise BadInput(f"{self.version!r} is not a version", where="project")
        for dtype in (*self.inputs, *self.outputs):
            if dtype not in ITEM_BYTES:
                raise BadInput(f"{dtype!r} is not a dtype", where="project")
        for flag in self.flags or ():
            if not re.fullmatch(r"-[0-9A-Za-z_=,.+-]+", flag):
                raise BadInput(f"{flag!r} is not a compiler flag", where="project")
        for region in self.regions:
            if not _REGION.fullmatch(region) or region not in {r.name for r in self.board.regions}:
                raise BadInput(f"{region!r} is not a memory region of {self.board.id}", where="project")
        if self.push and len(self.inputs) != 1:
            raise BadInput(f"rows can be pushed into one input, not {len(self.inputs)}", where="project")


def project_files(project: Project) -> dict[str, str]:
    """Relative path to text, for everything but the library's own C files. Equal projects give equal bytes."""
    return firmware_files((project,))


def firmware_files(projects: Sequence[Project], shared: Sequence[str] = ()) -> dict[str, str]:
    """The same for one firmware around the libraries of several projects, alike in board, framework and version.

    shared: the names of the models whose arena is one memory. Raises BadInput where several models have regions.
    """
    project, several = projects[0], len(projects) > 1
    if several and any(p.regions for p in projects):
        raise BadInput("several models in one firmware keep to sram", where="project", fix="--regions sram")
    top = [*(_PLATFORMIO if project.board.platformio or project.board.emulator else ())]
    top += [] if project.board.platformio else _CMAKE
    application = _SEVERAL if several else _APPLICATION
    wanted = [*top, *application, *(_EMULATED if project.board.emulated else _FRAMEWORKS[project.framework])]
    wanted += _MEMORY if project.regions else ()
    env, models = environment(), [_values(p) for p in projects]
    around = {**models[0], **(_joined(projects) if several else {}), "models": models, "shared": shared,
              "application": [path for path, _ in application if path.endswith(".c")],
              "libraries": " ".join(f"tinycomp_{p.name}" for p in projects)}  # fmt: skip
    files = {path: env.get_template(f"project/{template}").render(**around) for path, template in wanted}
    for values in models:
        for path, template in _LIBRARY:
            files[f"lib/{values['name']}/{path}"] = env.get_template(f"project/{template}").render(**values)
    files |= emulator_files(project.board, project.version, semver(project.version), LICENSE)
    return dict(sorted(files.items()))


def _joined(projects: Sequence[Project]) -> dict[str, Any]:
    """What the files around several models call them together."""
    names = [p.name for p in projects]
    return {"name": "_and_".join(names), "names": names, "sha256": " ".join(p.sha256 for p in projects),
            "description": f"The neural networks {', '.join(names)}, compiled by tinycomp"}  # fmt: skip


def plain(text: str) -> str:
    """At most 200 characters on one line, harmless in C comments, JSON, YAML, INI, CMake and properties files."""
    kept = re.sub(r"[^A-Za-z0-9 .,:()_/+-]+", " ", text).replace("/*", "/ ").strip()
    return re.sub(r"\s+", " ", kept)[:200].strip()


def semver(version: str) -> str:
    """MAJOR.MINOR.PATCH, which every package manager reads, of a Python version such as `0.2.0.dev3`."""
    match = re.match(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?", version)
    return ".".join(str(int(number)) for number in match.groups("0")) if match else "0.0.0"


def port_file(project: Project) -> str:
    """The path of the file that ties the application to the board, such as `src/port_arduino.cpp`."""
    files = _EMULATED if project.board.emulated else _FRAMEWORKS[project.framework]
    return files[0][0]


def _values(project: Project) -> dict[str, Any]:
    board = project.board
    core, pio = board.core, board.platformio
    description = plain(project.description) or f"The neural network {project.name}, compiled by tinycomp"
    stack = max(board.stack_bytes, 2048)
    return {
        "name": project.name, "NAME": project.name.upper(), "description": description,
        "version": project.version, "semver": semver(project.version), "sha256": project.sha256, "license": LICENSE,
        "inputs": project.inputs, "outputs": project.outputs, "push": project.push,
        "framework": project.framework, "port": port_file(project).removeprefix("src/port_"), "baud": BAUD,
        "board": board.id, "title": plain(board.title),
        "clock_hz": board.clock_hz, "mhz": board.clock_hz // 1_000_000,
        "stack": max(stack, _TASK_STACK) if project.framework == "espidf" else stack,
        "window": _EMULATED_WINDOW if board.emulated else 4 * stack, "top": "_estack" if board.emulated else "",
        "flags": core.optimise if project.flags is None else project.flags,
        "core": plain(core.title), "compiler": core.compiler, "core_flags": core.flags,
        "arch": next(arch for arch in ("arm", "riscv", "xtensa") if arch in core.features),
        "fpu": "fpu" in core.features, "caches": core.id == "cortex-m7",
        "pio_platform": pio.platform if pio else "", "pio_board": pio.board if pio else "",
        "hal": pio.hal if pio else "", "uart": UARTS.get(board.id),
        "emulated": board.emulator.board if board.emulator else "",
        "protocol": _PROTOCOL, "first_ms": _FIRST_MS,
        "regions": project.regions, "sdkconfig": _sdkconfig(project),
    }  # fmt: skip


def _sdkconfig(project: Project) -> list[str]:
    """What ESP-IDF must be told to use the regions. Raises BadInput where the board's file has something else."""
    lines = [line for r in project.board.regions if r.name in project.regions for line in r.sdkconfig]
    for line in lines:
        if not _SDKCONFIG.fullmatch(line):
            raise BadInput(f"{line!r} is not a setting of ESP-IDF", where=f"board {project.board.id}")
    return lines


_PROTOCOL: Mapping[str, Any] = MappingProxyType({
    "version": messages.PROTOCOL, "sync": tuple(frames.SYNC), "payload": frames.MAX_PAYLOAD, "sizes": messages.SIZES,
    "commands": messages.COMMANDS, "statuses": messages.STATUSES,
})  # fmt: skip
