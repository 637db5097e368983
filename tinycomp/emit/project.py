"""The project around the library: platformio.ini, a main that runs the model, and the library's manifests.

Nothing here comes from the model file but what `Project` has made harmless: a C prefix, a hash, a plain description.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tinycomp.emit.library import checked_name, environment
from tinycomp.errors import BadInput
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
_BARE = (("src/main.c", "main_bare.c.j2"),)
# What a framework wants at the top of the project.
_FRAMEWORKS: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType({
    "arduino": (("src/main.cpp", "main_arduino.cpp.j2"),),
    "bare": _BARE,
    "cmsis": _BARE,
    "espidf": (("src/main.c", "main_espidf.c.j2"), ("sdkconfig.defaults", "app_sdkconfig.defaults.j2")),
    "libopencm3": _BARE,
    "mbed": (("src/main.cpp", "main_mbed.cpp.j2"), ("mbed_app.json", "app_mbed_app.json.j2")),
    "stm32cube": (("src/main.c", "main_stm32cube.c.j2"),),
    "zephyr": (("src/main.c", "main_zephyr.c.j2"), ("zephyr/CMakeLists.txt", "app_zephyr_CMakeLists.txt.j2"),
               ("zephyr/prj.conf", "app_zephyr_prj.conf.j2")),
})  # fmt: skip
_PLATFORMIO = (("platformio.ini", "platformio.ini.j2"),)
_CMAKE = (("CMakeLists.txt", "app_CMakeLists.txt.j2"), ("toolchain.cmake", "app_toolchain.cmake.j2"))
# Frameworks whose printing knows floating point without being asked.
_REALS = frozenset({"arduino", "espidf"})


@dataclass(frozen=True)
class Project:
    """What a project is made of. Raises BadInput where a field would make a broken or unsafe file.

    name: the C prefix. version: tinycomp's. sha256: of the source model, 64 hexadecimal digits. description: one
    line of any text, made harmless. inputs, outputs: dtypes in order. push: the library has NAME_push_row and no
    NAME_input. flags: what the figures assume, the core's `optimise` where None.
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

    def __post_init__(self) -> None:
        """Refuse what the templates must never see."""
        checked_name(self.name)
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
        if self.push and len(self.inputs) != 1:
            raise BadInput(f"rows can be pushed into one input, not {len(self.inputs)}", where="project")


def project_files(project: Project) -> dict[str, str]:
    """Relative path to text, for everything but the library's own C files. Equal projects give equal bytes."""
    top = _PLATFORMIO if project.board.platformio else _CMAKE
    wanted = [*top, *_FRAMEWORKS[project.framework]]
    wanted += [(f"lib/{project.name}/{path}", template) for path, template in _LIBRARY]
    env, values = environment(), _values(project)
    return {path: env.get_template(f"project/{template}").render(**values) for path, template in sorted(wanted)}


def plain(text: str) -> str:
    """At most 200 characters on one line, harmless in C comments, JSON, YAML, INI, CMake and properties files."""
    kept = re.sub(r"[^A-Za-z0-9 .,:()_/+-]+", " ", text).replace("/*", "/ ").strip()
    return re.sub(r"\s+", " ", kept)[:200].strip()


def semver(version: str) -> str:
    """MAJOR.MINOR.PATCH, which every package manager reads, of a Python version such as `0.2.0.dev3`."""
    match = re.match(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?", version)
    return ".".join(str(int(number)) for number in match.groups("0")) if match else "0.0.0"


def _values(project: Project) -> dict[str, Any]:
    board = project.board
    core, pio = board.core, board.platformio
    description = plain(project.description) or f"The neural network {project.name}, compiled by tinycomp"
    return {
        "name": project.name, "NAME": project.name.upper(), "description": description,
        "version": project.version, "semver": semver(project.version), "sha256": project.sha256, "license": LICENSE,
        "inputs": project.inputs, "outputs": project.outputs, "push": project.push,
        "framework": project.framework, "reals": project.framework in _REALS, "baud": BAUD,
        "board": board.id, "title": plain(board.title),
        "clock_hz": board.clock_hz, "mhz": board.clock_hz // 1_000_000, "stack": max(board.stack_bytes, 2048),
        "flags": core.optimise if project.flags is None else project.flags,
        "core": plain(core.title), "compiler": core.compiler, "core_flags": core.flags,
        "fpu": "fpu" in core.features, "caches": core.id == "cortex-m7",
        "pio_platform": pio.platform if pio else "", "pio_board": pio.board if pio else "",
        "hal": pio.hal if pio else "",
    }  # fmt: skip
