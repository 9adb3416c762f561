"""The contract as OpenAPI 3.1, for tools that do not know protobuf: made of the descriptors and their comments."""

from collections.abc import Iterable, Iterator, Mapping

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, MethodDescriptor

from sprocket_grpc import __version__
from sprocket_grpc.web.connect_errors import HTTP_NAMES
from sprocket_grpc.web.methods import Method
from sprocket_grpc.web.schemas import Schema, comment, comments, reached, reference

_ERROR = "connect.Error"

_TEXT = """
The API by HTTP, in the Connect protocol (https://connectrpc.com/docs/protocol): a call is a POST of a JSON object, and
methods without side effects can be called with GET too.

Fields with their default value are left out of responses, and 64-bit integers are strings. The server refuses fields
that a request does not have. Every response has the header x-request-id.
""".strip()

_STREAM = """
This method streams its responses, which OpenAPI cannot describe: requests and responses are enveloped messages of
`application/connect+json`. Each has five bytes before it, its flags and its length (big-endian), and the last envelope,
with the flag 2, has the error, if any. Use a client of Connect or gRPC-Web. The schemas here are those of one message.
""".strip()

_DETAIL: Schema = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "description": "The name of the message, such as google.rpc.BadRequest."},
        "value": {"type": "string", "contentEncoding": "base64", "description": "The message in binary form."},
        "debug": {"type": "object", "description": "The message as JSON."},
    },
}

_ERROR_SCHEMA: Schema = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {
        "code": {"type": "string", "enum": [*HTTP_NAMES.values()]},
        "message": {"type": "string", "description": "For people. Programs use the reason in google.rpc.ErrorInfo."},
        "details": {"type": "array", "items": _DETAIL},
    },
}


def openapi(methods: Mapping[str, Method], *, authenticates: bool) -> Schema:
    """Return the document.

    Args:
        methods: The methods by their paths.
        authenticates: Whether callers must authenticate.
    """
    described = {path: _described(path) for path in methods}
    return {
        "openapi": "3.1.0",
        "info": {"title": "sprocket-grpc", "version": __version__, "description": _TEXT},
        "tags": [*_tags(described.values())],
        "paths": {path: dict(_operations(described[path], method)) for path, method in methods.items()},
        "components": {
            "schemas": {_ERROR: _ERROR_SCHEMA, **reached(_messages(described.values()))},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}] if authenticates else [],
    }


def _described(path: str) -> MethodDescriptor:
    return descriptor_pool.Default().FindMethodByName(path[1:].replace("/", "."))


def _tags(described: Iterable[MethodDescriptor]) -> Iterator[Schema]:
    services = {each.containing_service.full_name: each.containing_service for each in described}
    for name in services:
        yield {"name": name, **comment(name)}


def _operations(described: MethodDescriptor, method: Method) -> Iterator[tuple[str, Schema]]:
    """Yield the operations of a path, by the methods of HTTP in lower case."""
    body = {"required": True, "content": _content(described, described.input_type)}
    yield "post", _operation(described, "") | {"requestBody": body}
    if "GET" in method.allowed:
        yield "get", _operation(described, "_get") | {"parameters": [*_parameters(described)]}


def _operation(described: MethodDescriptor, suffix: str) -> Schema:
    service = described.containing_service
    text = comments().get(f"{service.name}.{described.name}", described.name)
    text = f"{text}\n\n{_STREAM}" if described.server_streaming else text
    failed = {"$ref": f"#/components/schemas/{_ERROR}"}
    return {
        "operationId": f"{service.name}_{described.name}{suffix}",
        "summary": text.partition("\n\n")[0].replace("\n", " ").partition(". ")[0].removesuffix("."),
        "description": text,
        "tags": [service.full_name],
        "responses": {
            "200": {"description": "The response.", "content": _content(described, described.output_type)},
            "default": {"description": "An error.", "content": {"application/json": {"schema": failed}}},
        },
    }


def _content(described: MethodDescriptor, message: Descriptor) -> Schema:
    kind = "application/connect+json" if described.server_streaming else "application/json"
    return {kind: {"schema": reference(message)}}


def _parameters(described: MethodDescriptor) -> Iterator[Schema]:
    for name, value in (("connect", "v1"), ("encoding", "json")):
        yield {"name": name, "in": "query", "required": True, "schema": {"type": "string", "const": value}}
    message = {"application/json": {"schema": reference(described.input_type)}}
    yield {"name": "message", "in": "query", "required": True, "content": message}


def _messages(described: Iterable[MethodDescriptor]) -> Iterator[Descriptor]:
    for method in described:
        yield from (method.input_type, method.output_type)
