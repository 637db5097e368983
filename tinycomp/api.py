"""The Python API: a build in a line, its report as data and as a picture in a notebook.

    import tinycomp

    made = tinycomp.compile("model.tflite", board="esp32")
    made.report["arena_bytes"], made.fits
    made.write("firmware")
    tinycomp.verify("firmware")

Imported on first use, so that `import tinycomp` stays cheap.
"""

from __future__ import annotations

import html as escape
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinycomp import build as builder
from tinycomp import frontend
from tinycomp.frontend import Kind
from tinycomp.harness import runner
from tinycomp.harness.inputs import random_cases
from tinycomp.harness.runner import Where
from tinycomp.harness.verify import Verified
from tinycomp.ir import Array
from tinycomp.ops import custom
from tinycomp.quantize.files import Pixels
from tinycomp.report import html, text


@dataclass(frozen=True, repr=False)
class Result:
    """A finished compilation, in memory until `write`."""

    build: builder.Build

    @property
    def report(self) -> Mapping[str, Any]:
        """What report.json holds; sizes in bytes."""
        return self.build.report

    @property
    def fits(self) -> bool:
        """Flash and RAM suffice."""
        return bool(self.report["budget"]["fits"])

    @property
    def sources(self) -> Mapping[str, str]:
        """The C library: file name to text."""
        return self.build.sources

    @property
    def html(self) -> str:
        """The report as one HTML page."""
        return html.render(self.report)

    def require_fit(self) -> Result:
        """Itself. Raises DoesNotFit, naming the layer and the tensors, where the board is too small."""
        builder.require_fit(self.build)
        return self

    def write(self, folder: str | Path, force: bool = False) -> Path:
        """Write project, library and reports; returns the folder. Raises BadInput where it is not ours to replace."""
        builder.write(self.build, Path(folder), force)
        return Path(folder)

    def __str__(self) -> str:
        """The report's headline."""
        return text.headline(self.report)

    def __repr__(self) -> str:
        """The same, for the interactive prompt."""
        return f"<tinycomp.Result: {self}>"

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that its styles leave the notebook alone."""
        page = escape.escape(self.html, quote=True)
        return (f'<iframe srcdoc="{page}" sandbox="allow-scripts" title="tinycomp report" '
                'style="width:100%;height:720px;border:1px solid #8884"></iframe>')  # fmt: skip


def compile(model: str | Path | bytes, board: str, *, quantize: Kind = "auto", data: str | Path | None = None,
            pixels: Pixels | None = None, custom_ops: Mapping[str, str | Path] | None = None,
            **options: Any) -> Result:  # fmt: skip
    """Compile a .tflite file (or its bytes) for a board.

    options: the other fields of `tinycomp.build.Options`, as the command line's (`stream="push"`, `opt="size"`,
    `ram=65536`, …). quantize and data: as for `tinycomp build`. custom_ops: the template of each custom operator, by
    name, its Python file beside it. That it does not fit is in the report, not an error here; `require_fit` raises.
    Raises BadInput, Unsupported.
    """
    loaded = frontend.Model("model.tflite", model) if isinstance(model, bytes) else frontend.load(model)
    given = tuple(custom.load(name, Path(template)) for name, template in (custom_ops or {}).items())
    loaded = replace(loaded, custom=given)
    request = frontend.Request(quantize, Path(data) if data else None, pixels)
    chosen = builder.Options(board=board, quantize=quantize, data=str(data) if data else None, **options)
    return Result(builder.compile_request(loaded, request, chosen))


def verify(folder: str | Path, inputs: Sequence[Sequence[Array]] | None = None, *, cases: int = 20,
           on: Where = "native", port: str | None = None) -> Verified:  # fmt: skip
    """Run the C in a build's folder and compare it with the model, bit for bit.

    inputs: one list of arrays for each case, random ones where None. Raises OutputsDiffer with the first layer that
    differs, ToolMissing, DeviceError.
    """
    manifest, front = builder.reopen(Path(folder))
    given = [list(case) for case in inputs] if inputs is not None else random_cases(front.source, cases)
    return runner.verify(Path(folder), manifest, front.source, front.graph, given, on, port)
