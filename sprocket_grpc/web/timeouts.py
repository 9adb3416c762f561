"""The time limits that clients send with their calls."""

import re
from collections.abc import Mapping

from sprocket_grpc.web.codec import MalformedError

_CONNECT = "connect-timeout-ms"

_GRPC = "grpc-timeout"

_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def connect_timeout(headers: Mapping[str, str]) -> float | None:
    """Return the time limit of a Connect call in seconds, or None.

    Raises:
        MalformedError: The header is not valid.
    """
    value = headers.get(_CONNECT)
    if value is None:
        return None
    if not re.fullmatch("[0-9]{1,10}", value):
        raise _invalid(_CONNECT, "a number of milliseconds with up to 10 digits")
    return int(value) / 1000


def grpc_timeout(headers: Mapping[str, str]) -> float | None:
    """Return the time limit of a gRPC-Web call in seconds, or None.

    Raises:
        MalformedError: The header is not valid.
    """
    value = headers.get(_GRPC)
    if value is None:
        return None
    if not re.fullmatch("[0-9]{1,8}[HMSmun]", value):
        raise _invalid(_GRPC, "up to 8 digits and one of the units H, M, S, m, u and n")
    return int(value[:-1]) * _SECONDS[value[-1]]


def _invalid(header: str, expected: str) -> MalformedError:
    return MalformedError(f"the header {header}: expected {expected}")
