"""What the host and the firmware say to each other: commands, their payloads, and the answers taken apart.

An `Exchange` is a list of requests that is known before the first reply, and what to make of the replies. A link
carries it out request by request; an emulator gets all requests in a file and leaves all replies in another.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, TypeVar

from tinycomp.errors import DeviceError

T = TypeVar("T")

PROTOCOL = 1
HELLO, LOAD_INPUT, INVOKE, READ_OUTPUT, LAYER, STACK, RESET = range(1, 8)
COMMANDS: Mapping[str, int] = MappingProxyType(
    {
        "HELLO": HELLO,
        "LOAD_INPUT": LOAD_INPUT,
        "INVOKE": INVOKE,
        "READ_OUTPUT": READ_OUTPUT,
        "LAYER": LAYER,
        "STACK": STACK,
        "RESET": RESET,
    }
)
OK, BAD_CRC, UNKNOWN_COMMAND, BAD_ARGUMENT, NOT_READY, UNSUPPORTED, MODEL_FAILED = range(7)
STATUSES: Mapping[str, int] = MappingProxyType(
    {
        "OK": OK,
        "BAD_CRC": BAD_CRC,
        "UNKNOWN_COMMAND": UNKNOWN_COMMAND,
        "BAD_ARGUMENT": BAD_ARGUMENT,
        "NOT_READY": NOT_READY,
        "UNSUPPORTED": UNSUPPORTED,
        "MODEL_FAILED": MODEL_FAILED,
    }
)
SIZES = 16  # tensors whose sizes one answer to HELLO holds
CHUNK = 248  # bytes of a tensor in one frame; with the arguments they must fit into frames.MAX_PAYLOAD
FIRMWARE_STATUS = ("OK", "ERROR_ARENA_TOO_SMALL", "ERROR_ARENA_MISALIGNED", "ERROR_BAD_ARGUMENT", "ERROR_NOT_READY")

_HELLO = struct.Struct("<BBBBHII")  # protocol, flags, inputs, outputs, layers, arena, ticks per second
_PROFILED, _PUSH = 1, 2  # flags
_NAMES = {code: name for name, code in COMMANDS.items()}


@dataclass(frozen=True)
class Request:
    """One command. accepts: the statuses that are an answer; any other is an error."""

    command: int
    payload: bytes = b""
    accepts: frozenset[int] = frozenset({OK})

    @property
    def name(self) -> str:
        """The command's name in docs/protocol.md."""
        return _NAMES.get(self.command, f"command {self.command}")


@dataclass(frozen=True)
class Reply:
    """The status and what follows it."""

    status: int
    body: bytes


@dataclass(frozen=True)
class Exchange(Generic[T]):
    """Requests in order, and what their replies, in the same order, mean."""

    requests: tuple[Request, ...]
    parse: Callable[[Sequence[Reply]], T]


@dataclass(frozen=True)
class Hello:
    """What a firmware says of itself.

    model: the C prefix. sha256: of the source model. arena, inputs, outputs: bytes. tensors: how many inputs and
    outputs there are, which may be more than were asked for. ticks_per_second: None where the firmware cannot tell.
    profiled: it counts ticks for each layer. push: it takes its input row by row.
    """

    tool_version: str
    model: str
    sha256: str
    arena: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    tensors: int
    layers: int
    ticks_per_second: int | None
    profiled: bool
    push: bool


@dataclass(frozen=True)
class Answer:
    """One inference: each output's bytes, and the ticks that it took."""

    outputs: tuple[bytes, ...]
    ticks: int


@dataclass(frozen=True)
class LayerTicks:
    """Ticks of one layer in the last inference."""

    name: str
    ticks: int


def check(request: Request, reply: Reply) -> Reply:
    """The reply, if the request accepts its status. Raises DeviceError."""
    if reply.status in request.accepts:
        return reply
    raise _refused(request, reply)


def _refused(request: Request, reply: Reply) -> DeviceError:
    what = {
        UNKNOWN_COMMAND: "does not know it",
        BAD_ARGUMENT: "finds its arguments wrong",
        NOT_READY: "has lost the inputs",
        UNSUPPORTED: "cannot do it",
        MODEL_FAILED: f"reports that the model failed{_model_status(reply.body)}",
    }.get(reply.status, f"answers with the unknown status {reply.status}")
    fix = {
        NOT_READY: "it has started again: look for a watchdog, a fault, too small a stack or a weak supply",
        MODEL_FAILED: "build and flash again; if it stays so, the memory may be overwritten by other code",
    }.get(reply.status, "the firmware may come from another version of tinycomp: build and flash again")
    return DeviceError(f"the firmware {what}", where=request.name, fix=fix)


def _wrong_length(where: str) -> DeviceError:
    return DeviceError("the answer has the wrong length", where=where, fix="build and flash again with this tinycomp")


def _model_status(body: bytes) -> str:
    if not body:
        return ""
    return f" with {FIRMWARE_STATUS[body[0]] if body[0] < len(FIRMWARE_STATUS) else f'status {body[0]}'}"


def hello(tensors: int = SIZES) -> Exchange[Hello]:
    """Who is there. The sizes of the first `tensors` inputs and outputs are asked for, 16 with each request."""
    starts = range(0, tensors, SIZES)
    requests = tuple(Request(HELLO, struct.pack("<H", first)) for first in starts)
    return Exchange(requests, lambda replies: _hello([r.body for r in replies]))


def _hello(pages: Sequence[bytes]) -> Hello:
    if pages[0][:1] and pages[0][0] != PROTOCOL:
        raise DeviceError(
            f"the firmware speaks version {pages[0][0]} of the protocol, we {PROTOCOL}",
            where="HELLO",
            fix="build and flash again with this tinycomp",
        )
    try:
        _, flags, inputs, outputs, layers, arena, rate = _HELLO.unpack_from(pages[0])
        (sha256, version, model), _ = _texts(pages[0])
        sizes: list[int] = []
        for page in pages:
            rest = page[_texts(page)[1] :]
            sizes += struct.unpack(f"<{min(SIZES, inputs + outputs - len(sizes))}I", rest)
    except (struct.error, IndexError):
        raise _wrong_length("HELLO") from None
    return Hello(
        version,
        model,
        sha256,
        arena,
        tuple(sizes[:inputs]),
        tuple(sizes[inputs:]),
        inputs + outputs,
        layers,
        rate or None,
        bool(flags & _PROFILED),
        bool(flags & _PUSH),
    )


def _texts(page: bytes) -> tuple[list[str], int]:
    """The three texts (hash, version, model) and where they end. Raises IndexError where the page is cut short."""
    texts: list[str] = []
    at = _HELLO.size
    for _ in range(3):
        end = at + 1 + page[at]
        texts.append(page[at + 1 : end].decode("ascii", "replace"))
        at = end
    return texts, at


def inference(inputs: Sequence[bytes], output_bytes: Sequence[int], *, reset: bool = True) -> Exchange[Answer]:
    """State to its start (unless told not to), load every input, run, read every output."""
    requests = [Request(RESET)] if reset else []
    for index, data in enumerate(inputs):
        requests += [
            Request(LOAD_INPUT, struct.pack("<BI", index, at) + data[at : at + CHUNK])
            for at in range(0, len(data), CHUNK)
        ]
    run = len(requests)
    requests.append(Request(INVOKE))
    for index, size in enumerate(output_bytes):
        for at in range(0, size, CHUNK):
            requests.append(Request(READ_OUTPUT, struct.pack("<BIH", index, at, min(CHUNK, size - at))))

    def parse(replies: Sequence[Reply]) -> Answer:
        if len(replies[run].body) != 5:
            raise _wrong_length("INVOKE")
        data = b"".join(r.body for r in replies[run + 1 :])
        if len(data) != sum(output_bytes):
            raise _wrong_length("READ_OUTPUT")
        ends = [sum(output_bytes[: i + 1]) for i in range(len(output_bytes))]
        outputs = tuple(data[end - size : end] for end, size in zip(ends, output_bytes, strict=True))
        return Answer(outputs, int.from_bytes(replies[run].body[1:], "little"))

    return Exchange(tuple(requests), parse)


def layers(count: int, name: str = "name") -> Exchange[tuple[LayerTicks, ...]]:
    """The ticks of each layer in the last inference. Needs firmware that was compiled with NAME_PROFILE.

    count: the layers that the firmware has. name: its model's C prefix, for the message when it does not count ticks.
    """
    accepts = frozenset({OK, UNSUPPORTED})
    requests = tuple(Request(LAYER, struct.pack("<H", index), accepts) for index in range(count))

    def parse(replies: Sequence[Reply]) -> tuple[LayerTicks, ...]:
        if any(r.status == UNSUPPORTED for r in replies):
            raise DeviceError(
                "the firmware does not count the ticks of its layers",
                where="LAYER",
                fix=f"build and flash it with PLATFORMIO_BUILD_FLAGS=-D{name.upper()}_PROFILE in the environment",
            )
        if any(len(r.body) < 5 for r in replies):
            raise _wrong_length("LAYER")
        return tuple(
            LayerTicks(r.body[5 : 5 + r.body[4]].decode("ascii", "replace"), int.from_bytes(r.body[:4], "little"))
            for r in replies
        )

    return Exchange(requests, parse)


def stack() -> Exchange[int | None]:
    """The most bytes of stack that were ever in use, None where the firmware cannot tell."""
    request = Request(STACK, b"", frozenset({OK, UNSUPPORTED}))
    return Exchange((request,), lambda r: int.from_bytes(r[0].body[:4], "little") if r[0].status == OK else None)


def reset() -> Exchange[None]:
    """State variables back to their initial values; what was loaded is forgotten."""
    return Exchange((Request(RESET),), lambda replies: None)
