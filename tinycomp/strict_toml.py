"""A TOML table that must be read completely: a missing key, a wrong type and a key nobody asked for are errors.

Every error names the file and the key, as in `boards/esp32.toml, memory.flash.size: ...`.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

from tinycomp.errors import BadInput


def nearest(word: str, known: Iterable[str], count: int = 3) -> str:
    """`did you mean 'a' or 'b'?`, or an empty string where nothing is close."""
    close = difflib.get_close_matches(word, sorted(known), n=count, cutoff=0.5)
    return f"did you mean {' or '.join(repr(name) for name in close)}?" if close else ""


class Table:
    """One table of a file. Take each key once, then call `done()`."""

    def __init__(self, values: Mapping[str, object], file: str, name: str = "") -> None:
        self._values, self._file, self._name = values, file, name
        self._taken: set[str] = set()
        self._optional: set[str] = set()

    @staticmethod
    def read(file: Path) -> Table:
        """The file's top table. Raises BadInput where it cannot be read or is not TOML."""
        try:
            return Table(tomllib.loads(file.read_text(encoding="utf-8")), f"{file.parent.name}/{file.name}")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"cannot be read: {error}", where=str(file)) from error
        except tomllib.TOMLDecodeError as error:
            raise BadInput(f"is not TOML: {error}", where=str(file)) from error

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys in the order of the file."""
        return tuple(self._values)

    def __contains__(self, key: str) -> bool:
        """Whether an optional key is there. Asking makes it a known one, for the suggestion on a typo."""
        self._optional.add(key)
        return key in self._values

    def error(self, what: str, key: str = "", fix: str = "") -> BadInput:
        """The error to raise for a value that has the right type and makes no sense."""
        path = ".".join(part for part in (self._name, key) if part)
        return BadInput(what, where=f"{self._file}, {path}" if path else self._file, fix=fix)

    def text(self, key: str) -> str:
        """A non-empty string."""
        value = self._take(key)
        if not isinstance(value, str):
            raise self.error(f"must be a string, not {_type(value)}", key)
        if not value.strip():
            raise self.error("must not be empty", key)
        return value

    def integer(self, key: str, least: int = 0) -> int:
        """An integer that is not below `least`."""
        value = self._take(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(f"must be an integer, not {_type(value)}", key)
        if value < least:
            raise self.error(f"must be at least {least}, not {value}", key)
        return value

    def number(self, key: str) -> float:
        """A positive integer or float."""
        value = self._take(key)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.error(f"must be a number, not {_type(value)}", key)
        if not 0 < value < float("inf"):
            raise self.error(f"must be positive, not {value}", key)
        return float(value)

    def flag(self, key: str) -> bool:
        """true or false."""
        value = self._take(key)
        if not isinstance(value, bool):
            raise self.error(f"must be true or false, not {_type(value)}", key)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings, none of them twice."""
        value = self._take(key)
        items = cast("list[object]", value) if isinstance(value, list) else None
        if items is None or not all(isinstance(item, str) and item for item in items):
            raise self.error("must be a list of non-empty strings", key)
        found = tuple(str(item) for item in items)
        if len(set(found)) != len(found):
            raise self.error(f"names something twice: {', '.join(found)}", key)
        return found

    def table(self, key: str) -> Table:
        """A table within this one."""
        value = self._take(key)
        if not isinstance(value, dict):
            raise self.error(f"must be a table, not {_type(value)}", key)
        name = f"{self._name}.{key}" if self._name else key
        return Table(cast("dict[str, object]", value), self._file, name)

    def done(self) -> None:
        """Raise BadInput where the file has a key that nobody took."""
        left = [key for key in self._values if key not in self._taken]
        if left:
            known = self._taken | self._optional
            raise self.error(
                "unknown key", left[0], fix=nearest(left[0], known) or f"known: {', '.join(sorted(known))}"
            )

    def _take(self, key: str) -> object:
        self._taken.add(key)
        if key not in self._values:
            typos = set(self._values) - self._taken
            raise self.error("is missing", key, fix=nearest(key, typos, 1))
        return self._values[key]


def _type(value: object) -> str:
    """How to call a value's type in a message to somebody who writes TOML."""
    names = {"str": "a string", "int": "an integer", "bool": "a boolean", "list": "a list", "dict": "a table"}
    kind = type(value).__name__
    return names.get(kind, f"a {kind}")
