"""The methods that a port serves, as its reflection describes them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor

Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]

_ANSWER_SECONDS = 30


@dataclass(frozen=True)
class Method:
    """A method of the port.

    Attributes:
        path: Its path, such as `/sprocket.v1.FactoryService/GetFactory`.
        request: The class of its requests.
        response: The class of its responses.
        client_streaming: Whether a call has any number of requests.
        server_streaming: Whether a call has any number of responses.
    """

    path: str
    request: type[Message]
    response: type[Message]
    client_streaming: bool
    server_streaming: bool

    @property
    def name(self) -> str:
        """The name within its service."""
        return self.path.rpartition("/")[2]

    @property
    def service(self) -> str:
        """The full name of its service."""
        return self.path.split("/")[1]


class Port:
    """What a port serves.

    Attributes:
        pool: The descriptors of all its services.
        methods: Its methods by their paths.
    """

    def __init__(self, address: str, metadata: Metadata) -> None:
        """Ask the reflection of the server at an address.

        Raises:
            grpc.RpcError: The server does not answer.
        """
        self.pool = DescriptorPool()
        with grpc.insecure_channel(address) as channel:
            services = list(_services(channel, metadata))
            for file in _files(channel, metadata, services):
                self.pool.Add(file)
        self.methods = {method.path: method for name in services for method in self._methods(name)}

    def message(self, name: str) -> type[Message]:
        """Return the class of a message of `sprocket.v1`."""
        return GetMessageClass(self.pool.FindMessageTypeByName(f"sprocket.v1.{name}"))

    def _methods(self, service: str) -> Iterator[Method]:
        described: ServiceDescriptor = self.pool.FindServiceByName(service)
        for each in described.methods:
            yield Method(
                f"/{service}/{each.name}",
                GetMessageClass(each.input_type),
                GetMessageClass(each.output_type),
                each.client_streaming,
                each.server_streaming,
            )


def _ask(
    channel: grpc.Channel, metadata: Metadata, requests: Sequence[ServerReflectionRequest]
) -> Iterator[ServerReflectionResponse]:
    stub: Any = ServerReflectionStub(channel)  # its stubs have no types
    yield from stub.ServerReflectionInfo(iter(requests), timeout=_ANSWER_SECONDS, metadata=metadata)


def _services(channel: grpc.Channel, metadata: Metadata) -> Iterator[str]:
    for answer in _ask(channel, metadata, [ServerReflectionRequest(list_services="")]):
        yield from (service.name for service in answer.list_services_response.service)


def _files(channel: grpc.Channel, metadata: Metadata, services: Sequence[str]) -> Iterator[FileDescriptorProto]:
    """Yield the files of services, each once, after the files that it imports."""
    requests = [ServerReflectionRequest(file_containing_symbol=name) for name in services]
    files: dict[str, FileDescriptorProto] = {}
    for answer in _ask(channel, metadata, requests):
        for content in answer.file_descriptor_response.file_descriptor_proto:
            file = FileDescriptorProto.FromString(content)
            files[file.name] = file
    given: set[str] = set()

    def with_imports(file: FileDescriptorProto) -> Iterator[FileDescriptorProto]:
        if file.name not in given:
            given.add(file.name)
            for name in file.dependency:
                yield from with_imports(files[name])
            yield file

    for file in files.values():
        yield from with_imports(file)
