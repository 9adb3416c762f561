"""Checks of errors: the properties of every error that the comments of error_reason.proto document."""

import json
import re
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import grpc
from google.rpc.error_details_pb2 import BadRequest

from sprocket.v1.error_reason_pb2 import ErrorReason
from tests import ROOT
from tests.support.errors import Failure, fails

INVALID_FIELD = "ERROR_REASON_INVALID_FIELD"
INVALID_PAGE_TOKEN = "ERROR_REASON_INVALID_PAGE_TOKEN"  # noqa: S105  # no password
RESOURCE_NOT_FOUND = "ERROR_REASON_RESOURCE_NOT_FOUND"
REFERENCE_NOT_FOUND = "ERROR_REASON_REFERENCE_NOT_FOUND"

TRAILERS_LIMIT_BYTES = 8192
"""Clients replace an error with longer trailers by RESOURCE_EXHAUSTED: at random from 8 kB on, always over 16 kB."""

_OTHER_TRAILERS_BYTES = 245  # the fixed trailers, and the names of ours, as HTTP/2 counts them
_CONTRACT = ROOT / "protos" / "sprocket" / "v1" / "error_reason.proto"
_DOCUMENTED = re.compile(
    r"Code (?P<code>[A-Z_]+).*?(?P<example>\{.*?^ *\}$)\s*(?P<reason>ERROR_REASON_\w+) = ", re.DOTALL | re.MULTILINE
)
_INSIDES = re.compile(
    r"psycopg|sqlalchemy|asyncio|Traceback|Exception|\.py\b"  # the code
    r"|\b(SELECT|INSERT|UPDATE|DELETE|FROM|WHERE|RETURNING|CREATE|ALTER)\b|SQLSTATE"  # SQL
    r"|constraint|relation|column|trigger|\b(ck|fk|pk|uq|ix)_|\btest_[0-9a-f]{32}"  # the schema
    r"|postgres|127\.0\.0\.1|localhost|/tmp|\.s\.PGSQL"  # the host
)


class Documented(NamedTuple):
    """The documentation of a reason: its status code, and the metadata keys in the example of its ErrorInfo."""

    code: str
    metadata: set[str]


def _documented_reasons() -> dict[str, Documented]:
    comments = re.sub(r"^\s*// ?", "", _CONTRACT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {match["reason"]: match for match in _DOCUMENTED.finditer(comments)}
    examples = {reason: json.loads(match["example"]) for reason, match in found.items()}
    # Any error may have `values`, with the parts of the request that its message quotes.
    keys = {reason: set(example.get("metadata", {})) - {"values"} for reason, example in examples.items()}
    return {reason: Documented(found[reason]["code"], keys[reason]) for reason in examples}


REASONS = _documented_reasons()
"""The documentation of each reason, by its name."""


@contextmanager
def refuses(code: grpc.StatusCode, reason: str) -> Iterator[Failure]:
    """Expect the block to fail with a code, a reason, and the properties of every error."""
    with fails(code) as failure:
        yield failure
    assert failure.info.reason == reason
    assert_promises_kept(failure)


async def refusal(call: Awaitable[object], code: grpc.StatusCode, reason: str) -> Failure:
    """Await a call that has to fail, and return its error; a coroutine, for asyncio.gather."""
    with refuses(code, reason) as failure:
        await call
    return failure


async def invalid(call: Awaitable[object], reason: str = INVALID_FIELD) -> list[str]:
    """Await a call that has to fail with INVALID_ARGUMENT, and return the paths of the invalid fields."""
    failure = await refusal(call, grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert all(each.description for each in failure.detail(BadRequest).field_violations)
    assert failure.info.metadata["fields"].split(",") == list(dict.fromkeys(failure.fields))
    return failure.fields


def assert_promises_kept(failure: Failure) -> None:
    """Check that an error has a documented ErrorInfo, reveals no internals, and fits into the trailers."""
    info = failure.info
    assert info.domain == "sprocket.internal"
    assert info.reason in ErrorReason.DESCRIPTOR.values_by_name
    assert Documented(failure.code.name, set(info.metadata) - {"values"}) == REASONS[info.reason]
    assert all(info.metadata.values())
    assert not _INSIDES.findall(str(failure.status))
    assert failure.status.ByteSize() < TRAILERS_LIMIT_BYTES
    assert trailers_bytes(failure) < TRAILERS_LIMIT_BYTES


def trailers_bytes(failure: Failure) -> int:
    """Return the size of an error on the wire: the details, and the message, which is sent once more before them."""
    text = failure.message.encode()
    escaped = sum(not 0x20 <= byte <= 0x7E or byte == ord("%") for byte in text)  # each as %XX
    return _OTHER_TRAILERS_BYTES + failure.status.ByteSize() + len(text) + 2 * escaped
