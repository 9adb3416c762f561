"""Requests that no client library sends: no message, half of one, wrong lengths, and headers that make no sense."""

import random
from collections.abc import Callable, Sequence

from reliability import http2
from reliability.fuzz.port import Metadata

_CONTENT_TYPES = [
    "",
    "text/html",
    "application/json",
    "application/grpc-web",
    "application/grpc+json",
    "application/grpc;x",
]
_TIMEOUTS = ["", "x", "-1S", "1", "1X", "999999999S", "1n", "0S", "1 S"]
_ENCODINGS = ["gzip", "deflate", "identity", "snappy", ""]
_LENGTHS = [1, 0x7FFFFFFF, 0xFFFFFFFF]
_MOST_BYTES = 60_000  # the window that a server opens for a stream at first


def odd_body(chance: random.Random, message: bytes) -> bytes:
    """Return the body of a call that has not exactly one whole message."""
    whole = http2.message(message[: _MOST_BYTES // 2])
    return chance.choice(_BODIES)(chance, whole)


def odd_headers(chance: random.Random, key: Metadata) -> Metadata:
    """Return the headers of a call, which no client library sends either in half of all cases."""
    changes: list[tuple[str, str | bytes]] = [
        ("content-type", chance.choice(_CONTENT_TYPES)),
        ("grpc-timeout", chance.choice(_TIMEOUTS)),
        ("grpc-encoding", chance.choice(_ENCODINGS)),
        ("x-request-id", chance.randbytes(8)),
        ("te", "gzip"),
    ]
    return (*key, *chance.sample(changes, chance.choice([0, 0, 1, 2])))


def _none(_chance: random.Random, _whole: bytes) -> bytes:
    return b""


def _two(_chance: random.Random, whole: bytes) -> bytes:
    return whole * 2


def _half(chance: random.Random, whole: bytes) -> bytes:
    return whole[: chance.randrange(1, len(whole))]


def _with_flags(chance: random.Random, whole: bytes) -> bytes:
    return bytes([chance.choice([1, 2, 0x80, 0xFF])]) + whole[1:]


def _with_other_length(chance: random.Random, whole: bytes) -> bytes:
    return whole[:1] + chance.choice(_LENGTHS).to_bytes(4, "big") + whole[5:]


def _random(chance: random.Random, _whole: bytes) -> bytes:
    return chance.randbytes(chance.choice([1, 4, 5, 6, 1_000]))


_BODIES: Sequence[Callable[[random.Random, bytes], bytes]] = [
    _none,
    _none,
    _two,
    _half,
    _with_flags,
    _with_other_length,
    _random,
]
