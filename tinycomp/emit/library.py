"""The C library of a program: NAME.h, NAME.c, NAME_data.c. Equal programs give equal bytes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jinja2
import numpy as np

import tinycomp
from tinycomp import resources
from tinycomp.errors import BadInput
from tinycomp.ir import Array, Tensor
from tinycomp.lower import data_type, needs_padding
from tinycomp.ops.base import c_type
from tinycomp.program import Function, Operand, Place, Program, Run, Step
from tinycomp.timeline import ARRIVAL

# Keywords, and the standard headers that a NAME.h must not hide.
C_WORDS = frozenset(
    ["assert", "complex", "ctype", "errno", "fenv", "float", "inttypes", "iso646", "limits", "locale", "math", "setjmp", "signal", "stdarg", "stdbool", "stddef", "stdint", "stdio", "stdlib", "string", "tgmath", "time", "wchar", "wctype", "port", "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern", "float", "for", "goto", "if", "inline", "int", "long", "register", "restrict", "return", "short", "signed", "sizeof", "static", "struct", "switch", "typedef", "union", "unsigned", "void", "volatile", "while", "main", "bool", "class", "namespace", "template", "this", "new", "delete", "private", "public", "protected", "operator", "true", "false"]
)


@dataclass(frozen=True)
class Identity:
    """What the emitted files say of themselves. name: the C prefix. sha256: of the source model's bytes."""

    name: str
    sha256: str
    labels: tuple[str, ...] = field(default=())


def c_name(text: str) -> str:
    """A valid C prefix out of any text: lower case letters, digits, underscores, not a keyword, not empty."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:48].strip("_")
    if not name or name[0].isdigit():
        name = f"model_{name}".rstrip("_")
    return f"{name}_model" if name in C_WORDS else name


def checked_name(name: str) -> str:
    """The name, if it is a C prefix already. Raises BadInput otherwise."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name) or name in C_WORDS:
        raise BadInput(f"{name!r} is not a C prefix (lower case letters, digits and underscores, no C keyword)",
                       where="--name", fix=f"--name {c_name(name)}")  # fmt: skip
    return name


def environment() -> jinja2.Environment:
    """Templates in templates/; an undefined name is an error and a file keeps its last newline."""
    loader = jinja2.FileSystemLoader(resources.path("templates"))
    return jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True,
                              trim_blocks=True, lstrip_blocks=True, autoescape=False)  # fmt: skip


def library(program: Program, identity: Identity) -> dict[str, str]:
    """File name to text: NAME.h, NAME.c and NAME_data.c."""
    env, name = environment(), identity.name
    common: dict[str, Any] = {
        "name": name, "NAME": name.upper(), "version": tinycomp.__version__, "sha256": identity.sha256,
        "reference": program.graph.reference, "arena": program.arena, "align": program.align,
    }  # fmt: skip
    data = [
        {"type": data_type(d.array.dtype), "symbol": f"{name}_{d.symbol}", "count": d.array.size} for d in program.data
    ]
    pads = [
        {"symbol": f"pad_{byte:02x}", "byte": byte - 256 * (byte > 127), "bytes": size}
        for byte, size in program.pads.items()
    ]
    helpers = [_helper(env, h, program) for h in _helpers(program.functions)]
    rendered = {f.symbol: _function(env, f, program) for f in program.functions}
    functions = [text for text, _ in rendered.values()]
    used = {symbol: arguments for symbol, (_, arguments) in rendered.items()}
    tables = _Tables()
    layers = [_layer(i, s, program, name, tables, used[s.function.symbol]) for i, s in enumerate(program.steps)]
    body = env.get_template("model.c.j2").render(
        **common, data=data, pads=pads, helpers=helpers, functions=functions, includes=_includes([*helpers, *functions]),
        layers=layers, tables=tables.listed(), takes={o["take"] for layer in layers for o in layer["operands"]},
        runs=[_order(r) for r in program.runs], push=_push(program, tables),
        inputs=[_address(program, t, name) for t in program.graph.inputs],
        outputs=[_address(program, t, name) for t in program.graph.outputs],
    )  # fmt: skip
    tensors = program.graph.tensors
    head = env.get_template("model.h.j2").render(
        **common, labels=[_c_string(label) for label in identity.labels],
        ports=[*_ports("INPUT", [tensors[t] for t in program.graph.inputs]), *_ports("OUTPUT", [tensors[t] for t in program.graph.outputs])],
        push=_push(program, tables), n_inputs=len(program.graph.inputs), n_outputs=len(program.graph.outputs), n_layers=len(program.steps),
    )  # fmt: skip
    arrays = [{**d, "lines": _literals(p.array)} for d, p in zip(data, program.data, strict=True)]
    return {
        f"{name}.h": head,
        f"{name}.c": body,
        f"{name}_data.c": env.get_template("model_data.c.j2").render(**common, data=arrays),
    }


def _includes(texts: list[str]) -> list[str]:
    """The standard headers that the kernels call: <math.h> for float functions, <string.h> for copies."""
    text = "\n".join(texts)
    wanted = {"math.h": r"\b[a-z0-9]+f\(", "string.h": r"\bmem(cpy|set|move)\("}
    return [header for header, call in wanted.items() if re.search(call, text)]


def _helpers(functions: tuple[Function, ...]) -> list[str]:
    return list(dict.fromkeys(h for f in functions for h in f.helpers))


def _helper(env: jinja2.Environment, helper: str, program: Program) -> str:
    return env.get_template(f"helpers/{helper}.c.j2").render(reference=program.graph.reference).strip("\n")


def _function(env: jinja2.Environment, f: Function, program: Program) -> tuple[str, tuple[str, ...]]:
    """The C of a kernel, and which of its arguments the C reads."""
    values: dict[str, Any] = {**f.params, **f.literals, **{a: a for a in f.arguments}}
    template = env.get_template(f"kernels/{f.op}/{f.kernel}.c.j2")

    def render(signature: str) -> str:
        text = template.render(signature=signature, reference=program.graph.reference, **values)
        return re.sub(r"\n[ \t]*(?=\n)", "", text).strip("\n")

    body = render("")
    used = tuple(a for a in f.arguments if re.search(rf"\b{a}\b", body))
    parts = ["const void *const *rows", "void *out"]
    parts += ["void *scratch"] if f.scratch else []
    parts += ["int y"] if f.access == "reduce" else []
    parts += [f"const {t} *c{i}" for i, t in enumerate(f.data_types)]
    parts += [f"int32_t {a}" for a in used]
    return render(f"static void {f.symbol}({', '.join(parts)})"), used


def _plain(operand: Operand, step: Step) -> bool:
    """One row for each call, never padding: its address is an expression."""
    taps = operand.taps
    return taps is None or (taps.count == 1 and not needs_padding(taps, operand.place.rows, step.calls))


class _Tables:
    """Row addresses that follow no line: bytes or half-words in flash, in units of their common divisor."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], str] = {}

    def row(self, place: Place, y: str) -> str:
        """The C expression for the address of row `y`."""
        if (line := place.affine) is not None:
            offset, stride = line
            return f"arena + {offset}" if y == "0" or stride == 0 else f"arena + {offset} + {_times(y, stride)}"
        base, unit, table = self.table(place)
        return f"arena + {base} + {_times(f'{table}[{y}]', unit)}"

    def table(self, place: Place) -> tuple[int, int, str]:
        """(base, unit, symbol): row y lies at base + unit * symbol[y]."""
        base = min(place.offsets)
        unit = math.gcd(*(offset - base for offset in place.offsets))
        values = tuple((offset - base) // unit for offset in place.offsets)
        symbol = self._known.setdefault(values, f"slots_{len(self._known)}")
        return base, unit, symbol

    def wide(self, place: Place) -> bool:
        """The table needs half-words."""
        base, unit, _ = self.table(place)
        return (max(place.offsets) - base) // unit > 255

    def listed(self) -> list[dict[str, Any]]:
        """The tables for the template."""
        return [{"symbol": symbol, "type": "uint8_t" if max(v) < 256 else "uint16_t", "count": len(v), "entries": ", ".join(map(str, v))}
                for v, symbol in self._known.items()]  # fmt: skip


def _times(y: str, factor: int) -> str:
    return y if factor == 1 else f"{y} * {factor}" if y.isidentifier() or y.endswith("]") else f"({y}) * {factor}"


def _operand(o: Operand, step: Step, at: int, tables: _Tables) -> dict[str, Any]:
    """How a layer finds the rows of one operand; `take` names the helper that it calls, "" for an expression."""
    taps = o.taps
    facts: dict[str, Any] = {"at": at, "count": 1 if taps is None else taps.count, "rows": o.place.rows, "taps": taps, "take": ""}
    if taps is None:
        return facts | {"address": f"arena + {o.place.offsets[0]}"}
    if _plain(o, step):
        y = "0" if taps.stride == 0 else "y" if (taps.stride, taps.pad) == (1, 0) else f"y * {taps.stride} - {taps.pad}"
        return facts | {"address": tables.row(o.place, y)}
    if (line := o.place.affine) is not None:
        return facts | {"take": "take_rows", "from": f"arena + {line[0]}, {line[1]}"}
    base, unit, table = tables.table(o.place)
    return facts | {"take": "take_slots16" if tables.wide(o.place) else "take_slots", "from": f"arena + {base}, {unit}, {table}"}


def _layer(index: int, step: Step, program: Program, name: str, tables: _Tables, used: tuple[str, ...]) -> Mapping[str, Any]:
    operands: list[dict[str, Any]] = []
    at = 0
    for o in step.operands:
        operands.append(_operand(o, step, at, tables))
        at += operands[-1]["count"]
    leaf, f = step.leaf, step.function
    arguments = [f"{name}_{d.symbol}" for d in step.data] + [str(leaf.numbers[a]) for a in used]
    pad = step.access.pad
    used = pad is not None and pad in program.pads
    out = program.graph.out(step.node)
    window = step.access.kind == "window"
    return {
        "index": index, "node": step.node.name, "op": step.node.op, "shape": list(out.shape), "type": out.dtype,
        "kind": step.access.kind, "operands": operands, "pointers": at, "calls": step.calls,
        "function": f.symbol, "output": tables.row(step.output, "y" if window else "0"), "scratch": step.scratch,
        "arguments": arguments, "pad": f"pad_{pad:02x}" if used else "NULL",
        "bytes_out": step.output.row_bytes if window else out.bytes,
    }  # fmt: skip


def _order(run: Run) -> dict[str, Any]:
    """A run for the template: which layers, and the order of their calls if it is not one loop."""
    if run.order is None:
        return {"first": run.first, "end": run.end, "order": None}
    marker = 255 if run.end - run.first < 255 else 65535
    steps = [marker if w == ARRIVAL else w - run.first for w in run.order]
    lines = [", ".join(map(str, steps[i : i + 40])) for i in range(0, len(steps), 40)]
    return {"first": run.first, "end": run.end, "order": lines, "count": len(steps), "marker": marker,
            "type": "uint8_t" if marker == 255 else "uint16_t"}  # fmt: skip


def _push(program: Program, tables: _Tables) -> dict[str, Any] | None:
    """How rows arrive, None where the input is held."""
    if not program.pushed:
        return None
    place = program.input_rows
    return {"rows": place.rows, "row_bytes": place.row_bytes, "address": tables.row(place, "ctx->row").replace("arena", "ctx->arena"),
            "progress": program.layout.progress_at, "layers": len(program.steps)}  # fmt: skip


def _address(program: Program, tensor: str, name: str) -> str:
    """Where the caller finds an input or output: an offset in the arena, or data that folding has fixed."""
    if tensor in program.answers:
        return f"{name}_{program.answers[tensor].symbol}"
    return f"ctx->arena + {program.places[tensor].offsets[0]}"


def _ports(kind: str, tensors: list[Tensor]) -> Iterator[dict[str, Any]]:
    for i, t in enumerate(tensors):
        quantized = t.quant is not None and not t.quant.per_channel and t.dtype != "float32"
        yield {
            "port": f"{kind}{i}", "name": _comment(t.name), "bytes": t.bytes, "elements": t.elements,
            "rank": len(t.shape), "shape": ", ".join(map(str, t.shape)) or "1", "type": c_type(t), "dtype": t.dtype,
            "scale": _float(t.scale if quantized else 1.0), "zero_point": t.zero_point if quantized else 0,
        }  # fmt: skip


def _comment(text: str) -> str:
    """A name from the model file that can do no harm inside a comment."""
    return re.sub(r"[^A-Za-z0-9_.:/ \[\]-]", "?", text).replace("*/", "?/").replace("/*", "/?")[:80]


def _c_string(text: str) -> str:
    out = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode())
    return f'"{out}"'


def _float(value: float) -> str:
    text = f"{np.float32(value):.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def _integer(value: int) -> str:
    return str(value) if value > -(2**63) else "(-9223372036854775807 - 1)"  # C has no negative literals


def _literals(array: Array) -> list[str]:
    """The array's elements as lines of C initialisers."""
    values = array.ravel().tolist()
    texts = [_float(v) for v in values] if array.dtype.kind == "f" else [_integer(int(v)) for v in values]
    step = 24 if array.dtype.itemsize == 1 else 10
    return [", ".join(texts[i : i + step]) for i in range(0, len(texts), step)]
