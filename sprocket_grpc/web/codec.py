"""Messages as bytes: JSON as protobuf defines it, and binary."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

_LARGE_BYTES = 64 << 10

_LONGEST_PROBLEM = 500
"""The most characters of what is wrong with a request: the parser quotes it."""

_MOST_VALUES = 100_000
"""The most values of a request in JSON, each of which takes the parser 5 us. The largest batch has 5,000, and its texts
may have as many commas as 63,000."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class MalformedError(ValueError):
    """A request cannot be read. The text says why, and may quote it."""


class Codec(NamedTuple):
    """A form of messages.

    Attributes:
        name: Its name in media types: `json` or `proto`.
        parse: Reads a message, or raises MalformedError.
        serialize: Writes a message.
    """

    name: str
    parse: Callable[[type[Message], bytes], Message]
    serialize: Callable[[Message], bytes]


def _parse_json(message_type: type[Message], data: bytes) -> Message:
    if not data.lstrip().startswith(b"{"):  # the parser takes an empty array for an empty object
        raise MalformedError("expected a JSON object")
    if sum(map(data.count, (b"{", b"[", b","))) > _MOST_VALUES:
        raise MalformedError(f"the JSON has more than {_MOST_VALUES:,} values")
    try:
        return json_format.Parse(data.decode(), message_type())
    except UnicodeDecodeError:
        raise MalformedError("the JSON is not UTF-8") from None
    except json_format.ParseError as error:
        problem = str(error).partition("\n")[0]  # then it lists the names of all fields, in Python's form
        raise MalformedError(" ".join(problem.split())[:_LONGEST_PROBLEM]) from None


def _serialize_json(message: Message) -> bytes:
    descriptor: Any = message.DESCRIPTOR  # the stubs have two classes for it
    message_type = GetMessageClass(descriptor)
    if not isinstance(message, message_type):  # it is serialized already
        message = message_type.FromString(message.SerializeToString())
    return json.dumps(json_format.MessageToDict(message), ensure_ascii=False, separators=(",", ":")).encode()


def _parse_proto(message_type: type[Message], data: bytes) -> Message:
    try:
        return message_type.FromString(data)
    except DecodeError:
        raise MalformedError("") from None


def _serialize_proto(message: Message) -> bytes:
    return message.SerializeToString()


JSON = Codec("json", _parse_json, _serialize_json)

PROTO = Codec("proto", _parse_proto, _serialize_proto)

CODECS = {each.name: each for each in (JSON, PROTO)}


async def aside(size: int, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Do work on `size` bytes, in a thread if they are many: JSON of 20,000 entries takes 24 ms.

    A thread cannot be cancelled, so a call that is cancelled waits for its end, with what it holds until then.
    """
    if size <= _LARGE_BYTES:
        return work(*args, **kwargs)
    working = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise
