"""Talking to a device: every request is repeated until its reply has come undamaged, or given up within a bounded time.

with Link(open_port("/dev/ttyUSB0")) as link:
    link.require(name, sha256, graph)
    answer = link.run([data])
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from tinycomp.errors import DeviceError
from tinycomp.harness import messages
from tinycomp.harness.frames import MAX_FRAME, REPLY, Decoder, Frame, encode
from tinycomp.harness.messages import Answer, Exchange, Hello, LayerTicks, Reply, Request
from tinycomp.harness.wire import Wire
from tinycomp.ir import NUMPY, Array, Graph

T = TypeVar("T")

# A frame whose length was damaged makes its reader wait for bytes that do not come. These bring it to its end.
_FLUSH = bytes(MAX_FRAME)


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds, and how often to try.

    reply: for the reply to a request, before it is repeated. tries: of one request. greeting: in all for the first
    reply, since opening a port resets many boards; greeting_reply: for each try of it. inference: in all for one.
    """

    reply: float = 0.5
    tries: int = 10
    greeting: float = 6.0
    greeting_reply: float = 0.25
    inference: float = 30.0


class Link:
    """A conversation with one device. Every method raises DeviceError; none takes longer than its Patience.

    sequence: the first sequence number; random, so that the replies to an earlier session are not taken for ours.
    """

    def __init__(self, wire: Wire, patience: Patience | None = None, *, sequence: int | None = None) -> None:
        self._wire, self.patience = wire, patience or Patience()
        self._decoder = Decoder()
        self._sequence = random.randrange(1 << 16) if sequence is None else sequence
        self._heard = bytearray()  # the first bytes that came, for the message when they are no frames
        self._echoes = 0
        self._hello: Hello | None = None

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the port back."""
        self._wire.close()

    def hello(self) -> Hello:
        """Who is there. Starts a session: the device forgets what was loaded before."""
        (request,) = messages.hello().requests
        reply = self._ask(request, self.patience.greeting_reply, self.patience.greeting)
        if reply is None:
            raise self._no_greeting()
        found = messages.hello().parse([messages.check(request, reply)])
        if found.tensors > messages.SIZES:
            found = self.exchange(messages.hello(found.tensors))
        self._hello = found
        return found

    def require(self, name: str, sha256: str, graph: Graph) -> Hello:
        """Greet, and make sure that the device holds this model with these inputs and outputs."""
        found = self._hello or self.hello()
        fix = "flash the firmware of this build: tinycomp flash DIR"
        if found.sha256 != sha256:
            raise DeviceError(
                f"the device holds another model: {found.model!r} with SHA-256 {found.sha256[:12]}…, "
                f"this build is {name!r} with {sha256[:12]}…",
                where=self._wire.name,
                fix=fix,
            )
        for kind, sizes, names in (("inputs", found.inputs, graph.inputs), ("outputs", found.outputs, graph.outputs)):
            wanted = tuple(graph.tensors[t].bytes for t in names)
            if sizes != wanted:
                raise DeviceError(
                    f"the device's {kind} have {list(sizes)} bytes, this build's {list(wanted)}",
                    where=self._wire.name,
                    fix=fix,
                )
        return found

    def run(self, inputs: Sequence[bytes], *, reset: bool = True) -> Answer:
        """One inference on the inputs' bytes; state variables start anew unless `reset` is false."""
        found = self._hello or self.hello()
        sizes = tuple(len(data) for data in inputs)
        if sizes != found.inputs:
            raise DeviceError(
                f"the device takes inputs of {list(found.inputs)} bytes, not {list(sizes)}", where=self._wire.name
            )
        return self.exchange(messages.inference(inputs, found.outputs, reset=reset))

    def profile(self) -> tuple[LayerTicks, ...]:
        """Ticks of each layer in the last inference."""
        found = self._hello or self.hello()
        return self.exchange(messages.layers(found.layers, found.model))

    def stack(self) -> int | None:
        """The most bytes of stack that were ever in use, None where the device cannot tell."""
        return self.exchange(messages.stack())

    def reset(self) -> None:
        """State variables back to their initial values."""
        self.exchange(messages.reset())

    def exchange(self, exchange: Exchange[T]) -> T:
        """Carry out the requests one after the other."""
        replies: list[Reply] = []
        for request in exchange.requests:
            slow = request.command == messages.INVOKE
            limit = self.patience.inference if slow else self.patience.reply * self.patience.tries
            # While the device computes, a repeated request only tells whether the reply was lost: no hurry.
            reply = self._ask(request, self.patience.reply * (2 if slow else 1), limit)
            if reply is None:
                raise self._no_reply(request, limit)
            replies.append(messages.check(request, reply))
        return exchange.parse(replies)

    def _ask(self, request: Request, wait: float, limit: float) -> Reply | None:
        """The reply, None where none came within the limit. Safe to repeat: see docs/protocol.md."""
        self._sequence = (self._sequence + 1) & 0xFFFF
        frame = encode(Frame(request.command, self._sequence, request.payload))
        end = time.monotonic() + limit
        tries = 0
        while tries == 0 or time.monotonic() < end:
            self._wire.send(_FLUSH + frame if tries >= 2 else frame)
            reply = self._await(request.command | REPLY, min(time.monotonic() + wait, end))
            if reply is not None:
                return reply
            tries += 1
        return None

    def _await(self, kind: int, end: float) -> Reply | None:
        """The reply to the last request; None after silence or where the device says that the request was damaged."""
        while (left := end - time.monotonic()) > 0:
            data = self._wire.receive(left)
            self._heard += data[: 256 - len(self._heard)]
            for frame in self._decoder.feed(data) if data else self._decoder.flush():
                if frame.type == kind and frame.sequence == self._sequence and frame.payload:
                    return Reply(frame.payload[0], frame.payload[1:])
                if frame.type == REPLY:
                    return None
                self._echoes += frame.type & REPLY == 0
        return None

    def _no_reply(self, request: Request, limit: float) -> DeviceError:
        where = f"{self._wire.name}, {request.name}"
        if request.command == messages.INVOKE:
            return DeviceError(
                f"no answer within {limit:.0f} s: the firmware hangs, or the inference takes longer",
                where=where,
                fix="press reset; check the stack and watchdogs; for a slow model allow more time",
            )
        return DeviceError(
            f"the device has stopped answering: no undamaged reply within {limit:.0f} s",
            where=where,
            fix="press reset and try again; a long or loose cable damages frames",
        )

    def _no_greeting(self) -> DeviceError:
        where, seconds = self._wire.name, f"{self.patience.greeting:.0f} s"
        if not self._heard:
            return DeviceError(
                f"nothing answers (waited {seconds})",
                where=where,
                fix="flash the firmware (tinycomp flash DIR), press reset, and check that this is the board's port",
            )
        if self._echoes:
            return DeviceError(
                "everything that is sent comes back: the port is looped back",
                where=where,
                fix="choose the board's port, and check that its RX and TX are not joined",
            )
        sample = f"{bytes(self._heard[:24])!r}{'…' if len(self._heard) > 24 else ''}"
        return DeviceError(
            f"something else talks there: it sent {sample} and no frame of tinycomp's within {seconds}",
            where=where,
            fix="flash the firmware (tinycomp flash DIR), or choose the board's port; garbled text: another baud rate",
        )


def run_cases(
    link: Link, graph: Graph, cases: Sequence[Sequence[Array]], *, progress: Callable[[int], None] = lambda done: None
) -> tuple[list[list[Array]], list[int]]:
    """Run each case (the graph's inputs in order) on the device. Returns each case's outputs, and its ticks.

    A graph with states takes the cases as one stream: they begin with their initial values and then go on.
    """
    answers: list[list[Array]] = []
    ticks: list[int] = []
    for case in cases:
        reset = not (graph.states and answers)
        answer = link.run([np.ascontiguousarray(x).tobytes() for x in case], reset=reset)
        answers.append(arrays(answer, graph))
        ticks.append(answer.ticks)
        progress(len(answers))
    return answers, ticks


def arrays(answer: Answer, graph: Graph) -> list[Array]:
    """The outputs' bytes as arrays of the graph's outputs."""
    tensors = [graph.tensors[name] for name in graph.outputs]
    return [
        np.frombuffer(data, NUMPY[t.dtype]).reshape(t.shape) for data, t in zip(answer.outputs, tensors, strict=True)
    ]
