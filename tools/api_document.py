"""Writes docs/api.md from the contract and its comments: `python -m tools.api_document` prints it.

Existing tools do not fit: protoc-gen-doc is written in Go and not available from PyPI, npm or Debian; sabledocs makes a
web site instead of one Markdown page.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    MethodOptions,
)

from sprocket_grpc.auth.permissions import BUNDLES, REQUIRED
from sprocket_grpc.contract import read_comments
from tools.api_examples import Examples
from tools.api_rules import COOKBOOK, HEAD, RULES
from tools.comments import as_cell, as_text, link

PACKAGE = "sprocket.v1"

# The order in which a reader needs the services. Services that are not listed here come last.
ORDER = ["location", "sprocket_type", "factory", "sprocket", "audit"]


def read_contract(directory: Path) -> Sequence[FileDescriptorProto]:
    """Compile the protos below a directory, with their comments, and return them in the order of the document."""
    protos = sorted(str(path.relative_to(directory)) for path in directory.rglob("*.proto"))
    with tempfile.NamedTemporaryFile() as compiled:
        options = ["--include_source_info", f"--descriptor_set_out={compiled.name}", f"--proto_path={directory}"]
        compiler = [sys.executable, "-m", "grpc_tools.protoc", *options, *protos]
        subprocess.run(compiler, check=True)  # noqa: S603  # our own command
        files = FileDescriptorSet.FromString(Path(compiled.name).read_bytes()).file
    return sorted(files, key=_position)


def _position(file: FileDescriptorProto) -> tuple[bool, int, str]:
    name = Path(file.name).stem
    return not file.service, ORDER.index(name) if name in ORDER else len(ORDER), name


class Document:
    """Writes the document of the contract."""

    def __init__(self, files: Sequence[FileDescriptorProto]) -> None:
        self._files = files
        self._comments = read_comments(files)
        self._names = {name.rpartition(".")[2] for name in self._comments}
        self._examples = Examples(files, self._comments)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the document."""
        yield from (HEAD, "## Contents", "", "- [Common rules](#common-rules)", *self._contents(), "", RULES)
        for file in self._files:
            messages = {message.name: message for message in file.message_type}
            for service in file.service:
                yield from (f"## {service.name}", "", self._text(service.name), "")
                for message in _resources(file):
                    yield from self._message(message, "###")
                for method in service.method:
                    yield from self._method(method, f"{service.name}.{method.name}")
                    for end in _ends(method):
                        yield from self._message(messages[end], "####")
            for enum in file.enum_type:
                yield from self._enum(enum)

    def _contents(self) -> Iterator[str]:
        for file in self._files:
            for service in file.service:
                yield f"- {link(service.name)}: {', '.join(link(message.name) for message in _resources(file))}"
                yield from (f"  - {link(method.name)}" for method in service.method)
            for enum in file.enum_type:
                yield f"- {link(enum.name)}"
                yield from (f"  - {link(value.name)}" for value in enum.value)

    def _method(self, method: MethodDescriptorProto, name: str) -> Iterator[str]:
        request, response = _ends(method)
        stream = "a stream of " if method.server_streaming else ""
        reads = " · *reads*" if method.options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS else ""
        ends = f"{link(request)} → {stream}{link(response)}"
        yield from (f"### {method.name}", "", f"{ends}{reads} · {_permission(name)}", "")
        yield from (self._text(name), "", *self._examples_of(method))

    def _examples_of(self, method: MethodDescriptorProto) -> Iterator[str]:
        failure = self._examples.failure(method)
        beginning = max((each for each in COOKBOOK if method.name.startswith(each)), key=len)
        yield from (f"An example, and [calls like it with their answers]({COOKBOOK[beginning]}):", "")
        yield from (*_json(self._examples.request(method)), "")
        yield f"This request fails with `{failure.code}`, {link(failure.reason)} and the message"
        yield from (f"`{failure.message}`:", "", *_json(failure.request), "")

    def _message(self, message: DescriptorProto, level: str) -> Iterator[str]:
        yield from (f"{level} {message.name}", "", self._text(message.name), "")
        if not message.field:
            yield from ("It has no fields.", "")
            return
        yield from ("| | field | type | |", "|---|---|---|---|")
        for field in message.field:
            comment = as_cell(self._comments[f"{message.name}.{field.name}"], self._names)
            yield f"| {field.number} | `{field.name}` | {_type(field)} | {comment} |"
        yield ""

    def _enum(self, enum: EnumDescriptorProto) -> Iterator[str]:
        yield from (f"## {enum.name}", "", self._text(enum.name), "")
        for value in enum.value:
            yield from (f"### {value.name}", "", self._text(f"{enum.name}.{value.name}"), "")

    def _text(self, name: str) -> str:
        return as_text(self._comments[name], self._names)


def _permission(name: str) -> str:
    """Return the permission that a method needs, and the first one that includes it."""
    needed = REQUIRED[f"/{PACKAGE}.{name.replace('.', '/')}"]
    return f"`{needed}`, in `{next(bundle for bundle, included in BUNDLES.items() if needed in included)}`"


def _json(value: object) -> Sequence[str]:
    return ["```json", json.dumps(value), "```"]


def _resources(file: FileDescriptorProto) -> Sequence[DescriptorProto]:
    """Return the messages that are neither requests nor responses."""
    ends = {end for service in file.service for method in service.method for end in _ends(method)}
    return [message for message in file.message_type if message.name not in ends]


def _ends(method: MethodDescriptorProto) -> tuple[str, str]:
    return _short(method.input_type), _short(method.output_type)


def _type(field: FieldDescriptorProto) -> str:
    repeated = "repeated " if field.label == FieldDescriptorProto.LABEL_REPEATED else ""
    if not field.type_name:
        return repeated + FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    ours = field.type_name.startswith(f".{PACKAGE}.")
    return repeated + (link(_short(field.type_name)) if ours else _short(field.type_name))


def _short(name: str) -> str:
    return name.rpartition(".")[2]


if __name__ == "__main__":
    sys.stdout.write("\n".join(Document(read_contract(Path("protos"))).lines()).rstrip() + "\n")
