"""gzip, in both directions."""

import gzip
import zlib
from collections.abc import Mapping

from sprocket_grpc.errors import RequestTooLargeError, UnsupportedRequestError
from sprocket_grpc.web.codec import MalformedError, aside

_WORTH_BYTES = 1024
"""Shorter messages are sent as they are: they fit into one packet."""

_FASTEST = 1

_LARGEST_RATIO = 100
"""How many times as long as gzip its content is taken to be. It may be 1,032 times as long: 655 bytes take 2 ms."""

_GZIP_FORMAT = 31  # for zlib: a gzip header, and the largest window


def is_compressed(headers: Mapping[str, str], name: str) -> bool:
    """Return whether a header says that the request is compressed.

    Raises:
        UnsupportedRequestError: It is compressed in another way than gzip.
    """
    encoding = headers.get(name, "identity").strip().lower()
    if encoding not in {"gzip", "identity", ""}:
        raise UnsupportedRequestError(name, "gzip or identity")
    return encoding == "gzip"


def accepts_gzip(headers: Mapping[str, str], name: str) -> bool:
    """Return whether a header lists gzip."""
    for each in headers.get(name, "").lower().split(","):
        encoding, _, quality = each.replace(" ", "").partition(";q=")
        if encoding == "gzip":
            return quality.strip("0.") != "" or not quality
    return False


def is_worth(data: bytes) -> bool:
    """Return whether data is worth compressing."""
    return len(data) >= _WORTH_BYTES


def deflate(data: bytes) -> bytes:
    """Compress data."""
    return gzip.compress(data, _FASTEST, mtime=0)


async def inflate(data: bytes, limit: int) -> bytes:
    """Return what `unpack` does, in a thread if it is much."""
    return await aside(min(limit, len(data) * _LARGEST_RATIO), unpack, data, limit)


def unpack(data: bytes, limit: int) -> bytes:
    """Return what a client has compressed. Of a larger content, no more than `limit` bytes and one are unpacked.

    Raises:
        MalformedError: It is not gzip.
        RequestTooLargeError: It has more than `limit` bytes.
    """
    unpacker = zlib.decompressobj(_GZIP_FORMAT)
    try:
        result = unpacker.decompress(data, limit + 1)
    except zlib.error:
        raise MalformedError("the request is not valid gzip, although its headers say so") from None
    if len(result) > limit:
        raise RequestTooLargeError(len(result), limit)
    if not unpacker.eof or unpacker.unused_data:
        raise MalformedError("the request is not one whole gzip member, although its headers say so")
    return result
