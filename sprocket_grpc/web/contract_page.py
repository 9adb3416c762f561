"""The contract as JSON, with its comments, as the explorer shows it."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor

from sprocket_grpc.config.settings import Settings
from sprocket_grpc.contract import FILES, MESSAGES
from sprocket_grpc.web.methods import Method
from sprocket_grpc.web.schemas import comments

Json: TypeAlias = dict[str, Any]

_PREFIX = "sprocket.v1."


def contract_json(methods: Mapping[str, Method], settings: Settings, grpc_port: int) -> Json:
    """Return the services, messages and enums of the contract.

    Names are without the prefix `sprocket.v1.`, and those of other packages are whole. What is false is left out.

    Args:
        methods: The methods by their paths.
        settings: Say whether gRPC has TLS, and whether callers must authenticate.
        grpc_port: The port for gRPC.
    """
    enums = [enum for file in FILES for enum in file.enum_types_by_name.values()]
    messages = {_short(name): message for name, message in MESSAGES.items()}
    return {
        "package": _PREFIX.removesuffix("."),
        "authenticates": settings.authenticates,
        "grpc": {"port": grpc_port, "isTls": settings.tls_certificate is not None},
        "services": [*_services(methods)],
        "messages": {name: {**_comment(name), "fields": [*_fields(name, each)]} for name, each in messages.items()},
        "enums": {enum.name: {**_comment(enum.name), "values": [*_values(enum)]} for enum in enums},
    }


def _services(methods: Mapping[str, Method]) -> Iterator[Json]:
    """Yield the services in the order of the methods."""
    services: dict[str, list[Json]] = {}
    for path, method in methods.items():
        described = descriptor_pool.Default().FindMethodByName(path[1:].replace("/", "."))
        services.setdefault(described.containing_service.name, []).append(_method(described, method))
    for name, described_methods in services.items():
        yield {"name": name, **_comment(name), "methods": described_methods}


def _method(described: MethodDescriptor, method: Method) -> Json:
    return {
        "name": described.name,
        **_comment(f"{described.containing_service.name}.{described.name}"),
        "request": _short(described.input_type.full_name),
        "response": _short(described.output_type.full_name),
        **_flags(isRead=method.is_safe, isStream=method.rpc.is_stream),
    }


def _fields(owner: str, message: Descriptor) -> Iterator[Json]:
    """Yield the fields of a message. `hasPresence` tells a scalar whose absence differs from its default value."""
    for field in message.fields:
        yield {
            "name": field.name,
            "json": field.json_name,
            "number": field.number,
            "type": _type(field),
            **_comment(f"{owner}.{field.name}"),
            **_flags(isRepeated=field.is_repeated, hasPresence=field.has_presence and not field.message_type),
            **_oneof(field),
        }


def _oneof(field: FieldDescriptor) -> Json:
    oneof = field.containing_oneof
    is_declared = oneof and oneof.name != f"_{field.name}"  # `optional` makes one of its own
    return {"oneof": oneof.name} if oneof and is_declared else {}


def _type(field: FieldDescriptor) -> str:
    named = field.message_type or field.enum_type
    return _short(named.full_name) if named else _SCALARS[field.type]


_SCALARS = {
    value: name.removeprefix("TYPE_").lower()
    for name, value in vars(FieldDescriptor).items()
    if name.startswith("TYPE_")
}


def _values(enum: EnumDescriptor) -> Iterator[Json]:
    for value in enum.values:
        yield {"name": value.name, "number": value.number, **_comment(f"{enum.name}.{value.name}")}


def _comment(name: str) -> Json:
    text = comments().get(name)
    return {"comment": text} if text else {}


def _flags(**flags: bool) -> Json:
    return {name: True for name, is_set in flags.items() if is_set}


def _short(full_name: str) -> str:
    return full_name.removeprefix(_PREFIX)
