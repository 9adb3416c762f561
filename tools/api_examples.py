"""Makes an example request, and one that fails, for each method of the contract, from its fields and their comments."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
)

MISSING = "01937f2e-7d1c-7a40-8a53-0c7f5b1b9d55"
"""An id of no resource."""

SAMPLE_IDS = {
    "location": "017722b1-ddd0-7001-8000-000000000001",
    "sprocket_type": "017722b1-ddd0-7002-8000-000000000001",
    "factory": "017722b1-ddd0-7003-8000-000000000001",
}
"""The ids of the sample data that are the same in every database; those of its sprockets are not."""

OTHER_ID = "01a2104f-b699-749b-818b-c8d7eb0eb4c6"
"""The id in the examples of all other resources."""

_NUMBERS = {
    FieldDescriptorProto.TYPE_DOUBLE: 5.5,
    FieldDescriptorProto.TYPE_INT32: 5,
    FieldDescriptorProto.TYPE_INT64: 5,
}
_TEXTS = {"address": "123 Main St", "city": "Springfield", "country_code": "US", "postal_code": "62701"}
_VERB = re.compile(r"^(BatchCreate|BatchDelete|BatchGet|Create|Delete|Follow|Get|List|Update)(.+)$")


class Failure(NamedTuple):
    """A request that fails, with the code, the reason and the message of its error."""

    request: dict[str, Any]
    code: str
    reason: str
    message: str


class Examples:
    """Makes the examples of a contract.

    Args:
        files: The files of the contract.
        comments: The comments by the name of their element.
    """

    def __init__(self, files: Sequence[FileDescriptorProto], comments: Mapping[str, str]) -> None:
        self._messages = {message.name: message for file in files for message in file.message_type}
        self._comments = comments
        resources = [_snake(name) for name in self._messages if f"Create{name}Request" in self._messages]
        self._ids = {name: SAMPLE_IDS.get(name, OTHER_ID) for name in resources}

    def request(self, method: MethodDescriptorProto) -> dict[str, Any]:
        """Return a request in protobuf's JSON with the names of the contract.

        It succeeds on the sample data, if there is also a resource with `OTHER_ID`.
        """
        return self._request(method, self._ids)

    def failure(self, method: MethodDescriptorProto) -> Failure:
        """Return a request that fails: for a missing resource if the method has one, or else with an invalid field."""
        if _verb(method) == "List":
            return _invalid({"page_size": -1}, "page_size: must be 0 or more")
        if _verb(method).endswith("Create"):
            return _incomplete(self.request(method))
        request = self._request(method, dict.fromkeys(self._ids, MISSING))
        message = f"no {self._subject(method).replace('_', ' ')} has the id {MISSING}"
        return Failure(request, "NOT_FOUND", "ERROR_REASON_RESOURCE_NOT_FOUND", message)

    def _request(self, method: MethodDescriptorProto, ids: Mapping[str, str]) -> dict[str, Any]:
        message = self._messages[_short(method.input_type)]
        match _verb(method):
            case "List":
                return {"filter": self._filter(message), "page_size": 10}
            case "Update":
                [resource] = [field for field in message.field if field.name == self._subject(method)]
                changed = {"id": ids[resource.name], "display_name": _text("display_name")}
                return {resource.name: changed, "update_mask": "displayName"}
            case _:
                force = {"force": True} if any(field.name == "force" for field in message.field) else {}
                return self._required(message, self._subject(method), ids) | force

    def _required(self, message: DescriptorProto, subject: str, ids: Mapping[str, str]) -> dict[str, Any]:
        fields = [field for field in message.field if "\n Required." in self._comments[f"{message.name}.{field.name}"]]
        return {field.name: self._value(field, subject, ids) for field in fields}

    def _value(self, field: FieldDescriptorProto, subject: str, ids: Mapping[str, str]) -> Any:  # noqa: ANN401  # any JSON value
        value: Any
        if field.type == FieldDescriptorProto.TYPE_MESSAGE:
            value = self._required(self._messages[_short(field.type_name)], subject, ids)
        elif name := re.fullmatch(r"(?:(\w+)_)?ids?", field.name):
            value = ids[name[1] or subject]
        else:
            value = _NUMBERS.get(field.type) or _text(field.name)
        return [value] if field.label == FieldDescriptorProto.LABEL_REPEATED else value

    def _filter(self, message: DescriptorProto) -> str:
        """Return the first example in the comment of the field `filter`."""
        [first] = re.findall(r"Examples:\s*`([^`]+)`", self._comments[f"{message.name}.filter"])
        return str(first)

    def _subject(self, method: MethodDescriptorProto) -> str:
        """Return the name of the resource of a method, as in the names of fields: `factory` for GetFactoryChart."""
        name = re.sub("ies$", "y", _snake(_split(method)[1]))
        return max((each for each in self._ids if name.startswith(each)), key=len, default=name)


def _invalid(request: dict[str, Any], message: str) -> Failure:
    return Failure(request, "INVALID_ARGUMENT", "ERROR_REASON_INVALID_FIELD", message)


def _incomplete(request: dict[str, Any]) -> Failure:
    """Return the failure of a request to create a resource, without the first required field of the resource."""
    [(name, value)] = request.items()
    resource, path = (value[0], f"{name}[0]") if isinstance(value, list) else (value, name)
    missing = next(iter(resource))
    rest = {field: resource[field] for field in resource if field != missing}
    rule = (
        "must be a UUID in lower case with hyphens"
        if missing.endswith("_id")
        else "required, and more than white space"
    )
    return _invalid({name: [rest] if isinstance(value, list) else rest}, f"{path}.{missing}: {rule}")


def _text(name: str) -> str:
    return _TEXTS.get(name, name.replace("_", " ").capitalize())


def _verb(method: MethodDescriptorProto) -> str:
    return _split(method)[0]


def _split(method: MethodDescriptorProto) -> tuple[str, str]:
    """Return the verb of a method, and what it is about: `BatchGet` and `Locations`."""
    [(verb, about)] = _VERB.findall(method.name)
    return verb, about


def _snake(name: str) -> str:
    return re.sub(r"(?<=.)(?=[A-Z])", "_", name).lower()


def _short(name: str) -> str:
    return name.rpartition(".")[2]
