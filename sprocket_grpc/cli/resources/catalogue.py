"""The resources of the contract, with their fields and methods."""

import ast
import re
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from sprocket import v1
from sprocket_grpc.contract import FILES

_OUTPUT_ONLY = "Output only."


class Method(NamedTuple):
    """A method of the contract.

    Attributes:
        path: Its path on the wire, such as `/sprocket.v1.FactoryService/GetFactory`.
        request: The class of its requests.
        response: The class of its responses.
    """

    path: str
    request: type[Any]
    response: type[Any]


@dataclass(frozen=True)
class Resource:
    """A kind of resource, which has a List method.

    Attributes:
        descriptor: The descriptor of its message.
        field: The field that holds one in requests and responses, such as `sprocket_type`.
        items: The repeated field that holds several, such as `sprocket_types`.
        methods: Its standard methods by verb, such as `Create` or `BatchGet`.
    """

    descriptor: Descriptor
    field: str
    items: str
    methods: dict[str, Method]

    @property
    def name(self) -> str:
        """The singular on the command line, such as `sprocket-type`."""
        return self.field.replace("_", "-")

    @property
    def names(self) -> str:
        """The plural on the command line, such as `sprocket-types`."""
        return self.items.replace("_", "-")

    @property
    def title(self) -> str:
        """The singular in texts, such as `sprocket type`."""
        return self.field.replace("_", " ")

    @property
    def titles(self) -> str:
        """The plural in texts, such as `sprocket types`."""
        return self.items.replace("_", " ")

    @property
    def placeholder(self) -> str:
        """The word in usage lines for an id or display name, such as `FACTORY`."""
        return self.field.upper()

    @property
    def message(self) -> type[Message]:
        """The class of its message."""
        return GetMessageClass(self.descriptor)

    @cached_property
    def comments(self) -> dict[str, str]:
        """The comment of each field in the contract, by the name of the field."""
        return _comments(self.descriptor.file.name)[self.descriptor.name]

    def description(self, field: str) -> str:
        """Return the comment of a field on one line."""
        return " ".join(self.comments.get(field, "").split())

    @cached_property
    def writable(self) -> list[FieldDescriptor]:
        """The fields that a caller can write."""
        return [each for each in self.descriptor.fields if f"\n{_OUTPUT_ONLY}" not in self.comments.get(each.name, "")]

    @property
    def transferred(self) -> list[FieldDescriptor]:
        """The fields that export and import transfer: the id and the writable fields."""
        return [each for each in self.descriptor.fields if each.name == "id" or each in self.writable]


@cache
def catalogue() -> dict[str, Resource]:
    """Return all resources by name, in the order of the contract's files."""
    found = (each for file in FILES for service in file.services_by_name.values() for each in _resources(service))
    return {each.name: each for each in found}


def find(name: str, verb: str) -> Resource | None:
    """Return the resource that has this name, in singular or plural, and a method for this verb; else None."""
    plain = name.casefold().replace("_", "-")
    found = (each for each in catalogue().values() if plain in (each.name, each.names) and verb in each.methods)
    return next(found, None)


def _resources(service: ServiceDescriptor) -> list[Resource]:
    lists = [each for each in service.methods if each.name.startswith("List")]
    return [_resource(service, each) for each in lists]


def _resource(service: ServiceDescriptor, lists: MethodDescriptor) -> Resource:
    [(items, message)] = [
        (e.name, e.message_type) for e in lists.output_type.fields if e.is_repeated and e.message_type
    ]
    kind, kinds = message.name, lists.name.removeprefix("List")
    verbs = {f"{verb}{kind}": verb for verb in ("Create", "Get", "Update", "Delete")}
    verbs |= {f"{verb}{kinds}": verb for verb in ("List", "BatchGet", "BatchCreate", "BatchDelete")}
    methods = {verbs[each.name]: _method(service, each) for each in service.methods if each.name in verbs}
    return Resource(message, re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower(), items, methods)


def _method(service: ServiceDescriptor, method: MethodDescriptor) -> Method:
    path = f"/{service.full_name}/{method.name}"
    return Method(path, GetMessageClass(method.input_type), GetMessageClass(method.output_type))


@cache
def _comments(proto: str) -> dict[str, dict[str, str]]:
    """Return the comments of all fields in a file of the contract, by message and field.

    Descriptors have no comments at run time. The type stubs that are generated beside them do.
    """
    stub = resources.files(v1) / f"{proto.rpartition('/')[2].removesuffix('.proto')}_pb2.pyi"
    classes = [each for each in ast.parse(stub.read_text(encoding="utf-8")).body if isinstance(each, ast.ClassDef)]
    return {each.name: _field_comments(each) for each in classes}


def _field_comments(message: ast.ClassDef) -> dict[str, str]:
    """Return the comments in a class: after the attributes of plain fields, and in the properties of other fields."""
    comments = {}
    for before, each in zip(message.body, message.body[1:], strict=False):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name) and isinstance(each, ast.Expr):
            comments[before.target.id] = str(ast.literal_eval(each.value))
    for each in message.body:
        if isinstance(each, ast.FunctionDef) and (text := ast.get_docstring(each)):
            comments[each.name] = text
    return {name: re.sub(r"\n +", "\n", text) for name, text in comments.items()}
