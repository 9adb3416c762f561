"""A client that reads nothing: it sets the initial flow-control window to 0 (RFC 9113, section 6.9.2)."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

_HEADERS, _SETTINGS, _DATA = 1, 4, 0
_END = 1  # END_STREAM; in a SETTINGS frame, this bit means ACK
_END_HEADERS = 4
_INITIAL_WINDOW_SIZE = 4


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _text(value: bytes) -> bytes:
    return bytes([len(value)]) + value


def _call(method: str) -> bytes:
    """Encode the headers of a call, in HPACK without compression (RFC 7541, section 6.2.2)."""
    path = b"\x04" + _text(method.encode())
    authority = b"\x01" + _text(b"a")
    content_type = b"\x0f\x10" + _text(b"application/grpc")
    trailers = b"\x00" + _text(b"te") + _text(b"trailers")
    return b"\x83\x86" + path + authority + content_type + trailers  # POST, http


@contextmanager
def unread_call(address: str, method: str, request: bytes = b"") -> Iterator[None]:
    """Call a method, and read nothing until the block ends."""
    host, _, port = address.rpartition(":")
    settings = struct.pack(">HI", _INITIAL_WINDOW_SIZE, 0)
    message = b"\0" + len(request).to_bytes(4, "big") + request
    with socket.create_connection((host, int(port))) as connection:
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, settings)
        connection.sendall(preface + _frame(_HEADERS, _END_HEADERS, 1, _call(method)) + _frame(_DATA, _END, 1, message))
        yield
