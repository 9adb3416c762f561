"""Mutates the bytes of a request, without regard to what they mean."""

import random
from collections.abc import Callable, Sequence

_NUMBERS = 40
_DEEP = [10, 90, 101, 1_000, 30_000]
_MOST_BYTES = 5 << 20  # more than the server takes
_LENGTHS = [0x7F, 0x3FFF, 2**31 - 1, 2**32 - 1, 2**63]


def mutate(chance: random.Random, data: bytes) -> bytes:
    """Return the bytes with one to three mutations."""
    for _ in range(chance.choice([1, 1, 2, 3])):
        data = chance.choice(_MUTATIONS)(chance, data)[:_MOST_BYTES]
    return data


def _truncated(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _flipped(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(chance.choice([1, 1, 3, 10])):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _inserted(chance: random.Random, data: bytes) -> bytes:
    place = chance.randrange(len(data) + 1)
    return data[:place] + chance.randbytes(chance.choice([1, 2, 20])) + data[place:]


def _with_any_field(chance: random.Random, data: bytes) -> bytes:
    """Add a field of any number and wire type, most often not the one that the field has."""
    tag = varint(chance.randrange(_NUMBERS) << 3 | chance.randrange(8))
    return data + tag + chance.choice([b"", varint(chance.getrandbits(64)), varint(5) + b"abcde", bytes(8)])


def _with_broken_text(chance: random.Random, data: bytes) -> bytes:
    broken = chance.choice([b"\xff", b"ab\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80"])
    return data + delimited(chance.randrange(1, 10), broken)


def _with_a_length_beyond_the_end(chance: random.Random, data: bytes) -> bytes:
    return data + varint(chance.randrange(1, 10) << 3 | 2) + varint(chance.choice(_LENGTHS)) + b"ab"


def _nested(chance: random.Random, data: bytes) -> bytes:
    """Add messages within messages, or groups within groups, which end or do not."""
    number, depth = chance.randrange(1, 10), chance.choice(_DEEP)
    if chance.random() < 0.5:
        ends = varint(number << 3 | 4) * chance.choice([0, depth])
        return data + varint(number << 3 | 3) * depth + ends
    inner = data[:1_000]
    for _ in range(min(depth, 1_000)):
        inner = delimited(number, inner)
    return inner


def _repeated(chance: random.Random, data: bytes) -> bytes:
    return data * chance.choice([2, 3, 50])


def _random(chance: random.Random, _data: bytes) -> bytes:
    return chance.randbytes(chance.choice([1, 5, 100, 10_000]))


def _empty(_chance: random.Random, _data: bytes) -> bytes:
    return b""


_MUTATIONS: Sequence[Callable[[random.Random, bytes], bytes]] = [
    _truncated,
    _flipped,
    _flipped,
    _inserted,
    _with_any_field,
    _with_broken_text,
    _with_a_length_beyond_the_end,
    _nested,
    _repeated,
    _random,
    _empty,
]


def varint(value: int) -> bytes:
    """Encode a number as protobuf does."""
    encoded = bytearray()
    while value > 0x7F:  # seven bits to a byte
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def delimited(number: int, content: bytes) -> bytes:
    """Encode a field with a length."""
    return varint(number << 3 | 2) + varint(len(content)) + content
