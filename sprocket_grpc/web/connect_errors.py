"""Errors in the form of Connect (https://connectrpc.com/docs/protocol): JSON with the details of the status."""

import base64
import json
import math
from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as PackedMessage
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from sprocket_grpc.interceptors.status import Code

HTTP_STATUSES = {
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}
"""The HTTP status of each code, as Connect defines it."""

HTTP_NAMES = {code: "canceled" if code is Code.CANCELLED else code.name.lower() for code in HTTP_STATUSES}
"""The name of each code in Connect."""


def error_headers(status: Status) -> Iterator[tuple[str, str]]:
    """Yield the headers of HTTP that say what to do about an error."""
    if status.code == Code.UNAUTHENTICATED:
        yield "www-authenticate", "Bearer"
    for detail in status.details:
        retry = RetryInfo()
        if detail.Unpack(retry):
            yield "retry-after", str(max(1, math.ceil(retry.retry_delay.ToTimedelta().total_seconds())))


def error_json(status: Status) -> dict[str, Any]:
    """Return an error as JSON."""
    result: dict[str, Any] = {"code": HTTP_NAMES[Code(status.code)], "message": status.message}
    if status.details:
        result["details"] = [_detail(each) for each in status.details]
    return result


def encode_json(content: object) -> bytes:
    """Return JSON as bytes, without spaces."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _detail(packed: PackedMessage) -> dict[str, Any]:
    debug = json_format.MessageToDict(packed)
    debug.pop("@type")
    value = base64.b64encode(packed.value).decode().rstrip("=")
    return {"type": packed.TypeName(), "value": value, "debug": debug}
