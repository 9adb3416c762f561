"""Odd metadata of calls, of what clients of gRPC are able to send."""

import random
from collections.abc import Callable, Sequence

from reliability.fuzz.port import Metadata

_REQUEST_IDS = ["", " ", "x" * 128, "x" * 129, "1 code=OK principal=root", "a=b", '"', "{}", "%0a%00"]
_TRACES = [
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "00-00000000000000000000000000000000-0000000000000000-00",
    "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
    "00-0af7-b7ad-01",
    "-" * 200,
]
_AUTHORIZATIONS = [
    "",
    "Bearer",
    "Bearer ",
    "bearer x",
    "Basic dXNlcjpwYXNz",
    "Bearer " + "x" * 4_000,
    "Bearer a.b.c",
    "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.",  # pragma: allowlist secret
    "Bearer sprocket_0_0",
]
_USER_AGENTS = ["", "curl", "x" * 500]


def odd_metadata(chance: random.Random, key: Metadata) -> Metadata:
    """Return the metadata of a call with a key, with one or two additions or other credentials."""
    for _ in range(chance.choice([1, 1, 2])):
        key = chance.choice(_CHANGES)(chance, key)
    return key


def _other_credentials(chance: random.Random, key: Metadata) -> Metadata:
    return (*(each for each in key if each[0] != "authorization"), ("authorization", _written(chance, _AUTHORIZATIONS)))


def _flipped_credentials(chance: random.Random, key: Metadata) -> Metadata:
    """Replace one character of the credentials."""
    place, other = chance.random(), chance.choice("aZ0_ .")
    return tuple(
        (name, _replaced(str(value), place, other) if name == "authorization" else value) for name, value in key
    )


def _replaced(text: str, place: float, other: str) -> str:
    at = int(place * len(text))
    return text[:at] + other + text[at + 1 :]


def _no_credentials(_chance: random.Random, _key: Metadata) -> Metadata:
    return ()


def _twice(_chance: random.Random, key: Metadata) -> Metadata:
    return (*key, *key)


def _with_request_id(chance: random.Random, key: Metadata) -> Metadata:
    return (*key, ("x-request-id", _written(chance, _REQUEST_IDS)))


def _with_trace(chance: random.Random, key: Metadata) -> Metadata:
    return (*key, ("traceparent", _written(chance, _TRACES)), ("tracestate", "a=b"))


def _with_bytes(chance: random.Random, key: Metadata) -> Metadata:
    return (*key, (chance.choice(["x-request-id-bin", "grpc-trace-bin", "grpc-tags-bin"]), chance.randbytes(30)))


def _with_many(chance: random.Random, key: Metadata) -> Metadata:
    return (*key, *((f"x-{number}", "y" * 20) for number in range(chance.choice([10, 60]))))


def _with_others(chance: random.Random, key: Metadata) -> Metadata:
    return (*key, ("user-agent", _written(chance, _USER_AGENTS)), ("x-forwarded-for", "1.2.3.4"))


def _written(chance: random.Random, texts: Sequence[str]) -> str:
    if chance.random() < 0.2:  # now and then any printable text
        return "".join(chr(chance.randrange(0x20, 0x7F)) for _ in range(chance.randrange(60)))
    return chance.choice(texts)


_CHANGES: Sequence[Callable[[random.Random, Metadata], Metadata]] = [
    _other_credentials,
    _flipped_credentials,
    _no_credentials,
    _twice,
    _with_request_id,
    _with_request_id,
    _with_trace,
    _with_bytes,
    _with_many,
    _with_others,
]
