"""PlatformIO's development platform for boards in QEMU. Nothing is downloaded: compilers and QEMU are the system's."""

from platformio.public import PlatformBase


class Tinycomp_emulatorPlatform(PlatformBase):  # noqa: N801 (PlatformIO derives the name from platform.json)
    """All that is special stands in builder/main.py."""
