"""Texts that requests hold: filters and orders by their grammars, names, ids, and texts that no field accepts."""

import random
import uuid
from collections.abc import Sequence

_NUMBERS = ["0", "1", "-1", "5", "2.5", "1e3", "0.1e-9", "9223372036854775807", "9223372036854775808", "1" * 400]
_TIMES = [
    '"2026-01-01T00:00:00Z"',
    "2026-11-27T12:00:00.123456789Z",
    "2026-11-27t12:00:00z",
    '"0001-01-01T00:00:00Z"',
    '"9999-12-31T23:59:59.999999+14:00"',
    '"2016-12-31T23:59:60Z"',
    '"2026-02-30T00:00:00Z"',
    "2026-11-27T",
]
_STRINGS = ['"Works"', "Cog", '"*"', '"W*"', "'a\\'b'", '"\\n\\\\"', '""', '"東京 %_\\\\"', '"' + "x" * 300 + '"', "*"]
_COMPARATORS = ["=", "!=", "<", "<=", ">", ">=", ":"]
_BROKEN = ["(", ")", "((", "AND", "OR", "NOT", "-", '"', "'", "\\", ".", "a.b", ":", "= =", "\0", "\u202e", "a(b)"]

ODD_TEXTS: Sequence[str] = [
    "",
    " ",
    "\0",
    "a\0b",
    "\ufffd\U0010ffff",
    "\u202eabc",
    "e" + "\u0301" * 500,
    "\N{GRINNING FACE}" * 64,
    "'\"; DROP TABLE factory; -- \\ % {} $1",
    "%s%n{0}",
    "x" * 5_000,
]
_HUGE = "x" * 1_000_000
_RARELY = 0.02

ODD_IDS: Sequence[str] = [
    "",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "01937F2E-7D1C-7A40-8A53-0C7F5B1B9D55",
    "{01937f2e-7d1c-7a40-8a53-0c7f5b1b9d55}",
    "01937f2e7d1c7a408a530c7f5b1b9d55",  # pragma: allowlist secret
    "01937f2e-7d1c-7a40-8a53-0c7f5b1b9d5",
    "01937f2e-7d1c-7a40-8a53-0c7f5b1b9d5\0",
    "../../etc/passwd",
]


def new_id(chance: random.Random) -> str:
    """Return an id of a resource that does not exist yet, most often."""
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def odd_text(chance: random.Random) -> str:
    """Return a text that few fields accept."""
    if chance.random() < _RARELY:
        return _HUGE
    if chance.random() < 0.2:
        return "".join(
            chr(chance.choice([chance.randrange(1, 0xD800), 0x301, 32])) for _ in range(chance.randrange(80))
        )
    return chance.choice(ODD_TEXTS)


def filter_text(chance: random.Random, fields: Sequence[str], depth: int = 0) -> str:
    """Return a filter by its grammar, whose terms are right or wrong for their fields by chance."""
    shape = chance.random()
    if depth > 4 or shape < 0.5:
        return _term(chance, fields)
    if shape < 0.7:
        joint = chance.choice([" AND ", " OR ", " "])
        return joint.join(filter_text(chance, fields, depth + 1) for _ in range(chance.randrange(2, 4)))
    if shape < 0.8:
        return f"({filter_text(chance, fields, depth + 1)})"
    if shape < 0.9:
        return chance.choice(["NOT ", "-"]) + filter_text(chance, fields, depth + 1)
    return _wild_filter(chance, fields)


def order_text(chance: random.Random, fields: Sequence[str]) -> str:
    """Return an order of a few fields."""
    terms = [
        f"{chance.choice(fields)}{chance.choice(['', ' asc', ' desc', '  DESC'])}"
        for _ in range(chance.randrange(1, 4))
    ]
    return chance.choice([",", ", ", " , "]).join(terms)


def _term(chance: random.Random, fields: Sequence[str]) -> str:
    field = chance.choice(fields) if chance.random() < 0.9 else chance.choice(["nothing", "a.b.c", '"x"', "id.id"])
    value = chance.choice([*_NUMBERS, *_TIMES, *_STRINGS, chance.choice(ODD_IDS) or '""', f'"{new_id(chance)}"'])
    return f"{field}{chance.choice(['', ' '])}{chance.choice(_COMPARATORS)}{chance.choice(['', ' '])}{value}"


def _wild_filter(chance: random.Random, fields: Sequence[str]) -> str:
    """Return a filter that is not by the grammar, too deep, or too long."""
    kind = chance.randrange(4)
    if kind == 0:
        depth = chance.choice([10, 60, 1_000, 20_000])
        return "(" * depth + _term(chance, fields) + ")" * depth
    if kind == 1:
        return " OR ".join(_term(chance, fields) for _ in range(chance.choice([20, 120, 600])))
    words = [_term(chance, fields), *(chance.choice(_BROKEN) for _ in range(chance.randrange(1, 4)))]
    chance.shuffle(words)
    return " ".join(words) if kind == 2 else odd_text(chance)
