"""Where the data files lie: beside the package in a checkout, inside it when installed from a wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tinycomp.errors import ToolMissing


def path(kind: Literal["boards", "templates"]) -> Path:
    """The folder of that kind of data file.

    The wheel's copy is looked for first: beside an installed package there may be a folder of the same name that
    belongs to somebody else. Raises ToolMissing where neither exists.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "_data" / kind, package.parent / kind):
        if folder.is_dir():
            return folder
    raise ToolMissing(f"the folder {kind!r} is missing from this installation of tinycomp", where=str(package),
                      fix="reinstall it: pip install --force-reinstall tinycomp")  # fmt: skip
