"""The files, services and messages of the contract.

They are derived from the generated code, so that a new proto is in reflection, health, the service config, the audit
log and the command line at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module, resources
from pkgutil import iter_modules
from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from sprocket import v1


def _files() -> list[FileDescriptor]:
    modules = sorted(module.name for module in iter_modules(v1.__path__) if module.name.endswith("_pb2"))
    return [import_module(f"{v1.__name__}.{name}").DESCRIPTOR for name in modules]


FILES = _files()

SERVICES = [service.full_name for file in FILES for service in file.services_by_name.values()]

MESSAGES = {message.full_name: message for file in FILES for message in file.message_types_by_name.values()}


@cache
def commented_files() -> Mapping[str, FileDescriptorProto]:
    """Return the files of the contract with their comments, which generated code does not have, by their names."""
    content = resources.files(v1).joinpath("contract.binpb").read_bytes()
    return {file.name: file for file in FileDescriptorSet.FromString(content).file}


def read_comments(files: Sequence[FileDescriptorProto]) -> Mapping[str, str]:
    """Return the comments by the name of their element: `Factory`, `Factory.id` or `FactoryService.GetFactory`."""
    return {
        ".".join(_names(file, location.path)): location.leading_comments
        for file in files
        for location in file.source_code_info.location
        if location.leading_comments
    }


def _names(file: FileDescriptorProto, path: Sequence[int]) -> Iterator[str]:
    """Yield the names along a path of descriptor.proto, which alternates field numbers and indexes."""
    descriptor: Any = file
    for number, index in zip(path[::2], path[1::2], strict=True):
        descriptor = getattr(descriptor, descriptor.DESCRIPTOR.fields_by_number[number].name)[index]
        yield descriptor.name
