"""Frames survive whatever stands around them: text, noise, other frames' remains."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinycomp.harness import messages
from tinycomp.harness.frames import MAX_FRAME, MAX_PAYLOAD, SYNC, Decoder, Frame, encode

frames = st.builds(
    Frame, st.integers(0, 255), st.integers(0, 65_535), st.binary(max_size=MAX_PAYLOAD) | st.just(SYNC * 20)
)
noise = st.binary(max_size=40) | st.just(SYNC) | st.just(SYNC + b"\1\0\0\377\377") | st.just(SYNC[:1])


def test_a_frame_is_laid_out_as_the_documentation_says():
    data = encode(Frame(2, 0x1234, b"abc"))
    assert data[:7] == b"\xf5\xfa\x02\x34\x12\x03\x00"
    assert data[7:10] == b"abc"
    assert data[10:] == zlib.crc32(data[2:10]).to_bytes(4, "little")
    assert len(encode(Frame(2, 0, bytes(MAX_PAYLOAD)))) == MAX_FRAME


def test_a_payload_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="257"):
        encode(Frame(1, 0, bytes(MAX_PAYLOAD + 1)))


@given(st.lists(frames, max_size=6), st.randoms(use_true_random=False))
def test_frames_come_out_as_they_went_in_however_they_are_cut(sent: list[Frame], rng: random.Random):
    data = b"".join(map(encode, sent))
    decoder, found = Decoder(), []
    while data:
        cut = rng.randint(1, 30)
        found += decoder.feed(data[:cut])
        data = data[cut:]
    assert found == sent
    assert decoder.noise == 0


@given(st.lists(st.tuples(st.text(max_size=30), frames), max_size=4))
def test_text_between_frames_is_skipped_and_costs_none(pairs: list[tuple[str, Frame]]):
    data = b"".join(text.encode("utf-8", "ignore") + encode(frame) for text, frame in pairs)
    assert Decoder().feed(data) == [frame for _, frame in pairs]


@given(noise, frames, noise)
def test_a_sound_frame_in_any_noise_is_found_once_the_line_is_silent(before: bytes, frame: Frame, after: bytes):
    decoder = Decoder()
    found = decoder.feed(before + encode(frame) + after) + decoder.flush()
    assert frame in found
    assert decoder.feed(encode(frame)) == [frame]


@given(frames, st.data())
def test_a_frame_with_any_byte_changed_dropped_or_doubled_is_no_frame(frame: Frame, data: st.DataObject):
    whole = encode(frame)
    at = data.draw(st.integers(0, len(whole) - 1))
    change = data.draw(st.sampled_from(["change", "drop", "double"]))
    byte = {
        "change": bytes([whole[at] ^ data.draw(st.integers(1, 255))]),
        "drop": b"",
        "double": whole[at : at + 1] * 2,
    }
    damaged = whole[:at] + byte[change] + whole[at + 1 :]
    decoder = Decoder()
    # Doubling its first or last byte, or a byte of a run, leaves the frame whole beside a stray byte.
    assert decoder.feed(damaged) + decoder.flush() == ([frame] if whole in damaged else [])


def test_the_largest_answers_fit_into_a_frame():
    largest_hello = 1 + 14 + (1 + 64) + (1 + 24) + (1 + 64) + 4 * messages.SIZES
    assert largest_hello <= MAX_PAYLOAD
    assert messages.CHUNK + 5 <= MAX_PAYLOAD
    largest_layer = 1 + 4 + 1 + 200
    assert largest_layer <= MAX_PAYLOAD
