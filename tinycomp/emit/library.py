"""The C library of a program: NAME.h, NAME.c, NAME_data.c. Equal programs give equal bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jinja2
import numpy as np

import tinycomp
from tinycomp import resources
from tinycomp.candidates import data_type
from tinycomp.emit.addresses import Tables, base, joined, layer, order, push
from tinycomp.errors import BadInput
from tinycomp.ir import Array, Tensor
from tinycomp.layout import SRAM
from tinycomp.ops.base import c_type
from tinycomp.ops.trainable_dense import meaning
from tinycomp.program import Data, Function, Place, Program, Register
from tinycomp.train import on_device

# Keywords, and the standard headers that a NAME.h must not hide.
KEYWORDS = """
auto bool break case char class const continue default delete do double else enum extern false float for goto if
inline int long main namespace new operator private protected public register restrict return short signed sizeof
static struct switch template this true typedef union unsigned virtual void volatile while
"""
HEADERS = """
assert complex ctype errno fenv frames inttypes iso646 limits locale math port serve setjmp signal stdarg stdbool
stddef stdint stdio stdlib string tgmath time wchar wctype
"""
C_WORDS = frozenset(KEYWORDS.split() + HEADERS.split())


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
        "regions": [{"name": r, "NAME": r.upper(), "bytes": n} for r, n in program.layout.others.items()],
        "states": _states(program, name), "state_bytes": program.layout.states, "head": _head(program),
    }  # fmt: skip
    data = [
        {"type": data_type(d.array.dtype), "symbol": f"{name}_{d.symbol}", "count": d.array.size} for d in program.data
    ]
    pads = [
        {"symbol": f"pad_{byte:02x}", "byte": byte - 256 * (byte > 127), "bytes": size}
        for byte, size in program.pads.items()
    ]
    rendered = {f.symbol: _function(env, f, program) for f in program.functions}
    functions = [text for text, _ in rendered.values()]
    helpers = _helpers(env, program, functions)
    used = {symbol: arguments for symbol, (_, arguments) in rendered.items()}
    tables = Tables()
    layers = [layer(i, s, program, name, tables, used[s.function.symbol]) for i, s in enumerate(program.steps)]
    pushing = push(program, tables)
    bases = joined([*(step["bases"] for step in layers), *([["arena", pushing["base"]]] if pushing else []),
                    *(_bases(r) for r in program.registers)])  # fmt: skip
    body = env.get_template("model.c.j2").render(
        **common, data=data, pads=pads, helpers=helpers, functions=functions,
        includes=_includes([*helpers, *functions]), layers=layers, tables=tables.listed(),
        takes={o["take"] for layer in layers for o in layer["operands"]},
        runs=[order(r, layers) for r in program.runs], push=pushing, bases=bases,
        inputs=[_address(program, t, name) for t in program.graph.inputs],
        outputs=[_address(program, t, name) for t in program.graph.outputs],
    )  # fmt: skip
    tensors = program.graph.tensors
    head = env.get_template("model.h.j2").render(
        **common, labels=[_c_string(label) for label in identity.labels],
        ports=[*_ports("INPUT", [tensors[t] for t in program.graph.inputs]),
               *_ports("OUTPUT", [tensors[t] for t in program.graph.outputs])],
        push=pushing, n_inputs=len(program.graph.inputs), n_outputs=len(program.graph.outputs),
        n_layers=len(program.steps),
    )  # fmt: skip
    arrays = [{**d, "lines": _literals(p.array)} for d, p in zip(data, program.data, strict=True)]
    return {
        f"{name}.h": head,
        f"{name}.c": body,
        f"{name}_data.c": env.get_template("model_data.c.j2").render(**common, data=arrays),
    }


def kernels(program: Program) -> str:
    """The C of the program's kernels and of the helpers that they call, as NAME.c has it."""
    env = environment()
    functions = [_function(env, f, program)[0] for f in program.functions]
    return "\n\n".join([*_helpers(env, program, functions), *functions]) + "\n"


def _includes(texts: list[str]) -> list[str]:
    """The standard headers that the kernels call: <math.h> for float functions, <string.h> for copies."""
    text = "\n".join(texts)
    wanted = {"math.h": r"\b[a-z0-9]+f\(", "string.h": r"\bmem(cpy|set|move)\("}
    return [header for header, call in wanted.items() if re.search(call, text)]


def _helpers(env: jinja2.Environment, program: Program, functions: list[str]) -> list[str]:
    """The helpers that the functions call, and those that these call, which are listed before them."""
    listed = dict.fromkeys(h for f in program.functions for h in f.helpers)
    known = {"reference": program.graph.reference, "opt": program.recipe.opt}
    texts = [env.get_template(f"helpers/{h}.c.j2").render(**known) for h in listed]
    kept: list[str] = []
    for text in reversed(texts):
        names = re.findall(r"^static\b[^;{(]*?\b(\w+)\(", text, re.MULTILINE)
        if any(re.search(rf"\b{name}\(", caller) for name in names for caller in (*functions, *kept)):
            kept.insert(0, re.sub(r"\n[ \t]*(?=\n)", "", text).strip("\n"))
    return kept


def _function(env: jinja2.Environment, f: Function, program: Program) -> tuple[str, tuple[str, ...]]:
    """The C of a kernel, and which of its arguments the C reads."""
    values: dict[str, Any] = {**f.params, **f.literals, **{a: a for a in f.arguments}}

    def render(signature: str) -> str:
        text = _rendered(env, f, {"signature": signature, "reference": program.graph.reference, **values})
        return re.sub(r"\n[ \t]*(?=\n)", "", text).strip("\n")

    body = render("")
    used = tuple(a for a in f.arguments if re.search(rf"\b{a}\b", body))
    parts = ["const void *const *rows", "void *out"]
    parts += ["void *scratch"] if f.scratch else []
    parts += [f"void *s{i}" for i in range(f.states)]
    parts += ["int y"] if f.access == "reduce" else []
    parts += [f"const {t} *c{i}" for i, t in enumerate(f.data_types)]
    parts += [f"int32_t {a}" for a in used]
    return render(f"KERNEL static void {f.symbol}({', '.join(parts)})"), used


def _rendered(env: jinja2.Environment, f: Function, values: Mapping[str, Any]) -> str:
    """The kernel's template with the values. Raises BadInput where it is a user's own and cannot be rendered."""
    try:
        template = env.from_string(f.template) if f.template else env.get_template(f"kernels/{f.op}/{f.kernel}.c.j2")
        return template.render(values)
    except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        if not f.template:
            raise
        line = f"line {error.lineno}: " if isinstance(error, jinja2.TemplateSyntaxError) else ""
        raise BadInput(f"cannot be rendered ({line}{getattr(error, 'message', None) or error})",
                       where=f"the template of {f.kernel} ({f.op})", fix="correct the template") from error  # fmt: skip


def _bases(r: Register) -> list[str]:
    """The arenas that a state's next value is copied between."""
    return ["arena", *([base(r.source.region)] if isinstance(r.source, Place) else [])] if r.source else []


def _states(program: Program, name: str) -> list[dict[str, Any]]:
    """What a reset and the end of an inference do to each state."""

    def source(value: Place | Data) -> str:
        return f"{base(value.region)} + {value.offsets[0]}" if isinstance(value, Place) else f"{name}_{value.symbol}"

    return [
        {"name": _comment(r.name), "offset": r.offset, "bytes": r.bytes,
         "fill": r.initial if isinstance(r.initial, int) else None,
         "initial": None if isinstance(r.initial, int) else source(r.initial),
         "source": None if r.source is None else source(r.source)}
        for r in program.registers
    ]  # fmt: skip


def _head(program: Program) -> dict[str, Any] | None:
    """Where the parts of a trainable head lie in the arena, None where there is none."""
    step = program.head
    at = {r.name: r.offset for r in program.registers}
    if step is None or on_device.ANSWERS not in at:
        return None
    x, w, _ = program.graph.ins(step.node)
    scale, zero = meaning(x)
    return {"outputs": w.shape[0], "inner": w.shape[1], "type": c_type(x), "scale": repr(float(np.float32(scale))),
            "zero": zero, "weights": at[on_device.WEIGHTS], "biases": at[on_device.BIASES],
            "features": at[on_device.FEATURES], "answers": at[on_device.ANSWERS],
            "no_answer": on_device.NO_ANSWER}  # fmt: skip


def _address(program: Program, tensor: str, name: str) -> str:
    """Where the caller finds an input or output: an offset in the arena, or data that folding has fixed."""
    if tensor in program.answers:
        return f"{name}_{program.answers[tensor].symbol}"
    place = program.places[tensor]
    address = f"ctx->{base(place.region)} + {place.offsets[0]}"
    return address if place.region == SRAM else f"ctx->{place.region} == NULL ? NULL : {address}"


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
