"""The RPCs of a server: those of the contract, of health and of reflection, made from their descriptors."""

from collections.abc import Iterator, Mapping

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import MessageToJson, Parse
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from sprocket_grpc.config.settings import Settings
from sprocket_grpc.contract import SERVICES
from sprocket_grpc.interceptors.chain import Rpc
from sprocket_grpc.server.dependencies import ServerDependencies
from sprocket_grpc.server.health import HealthServicer
from sprocket_grpc.server.reflection import commented_pool
from sprocket_grpc.services.audit import AuditService
from sprocket_grpc.services.charts.rpcs import FactoryCharts
from sprocket_grpc.services.charts.stream import ChartDependencies
from sprocket_grpc.services.factory import FactoryService
from sprocket_grpc.services.location import LocationService
from sprocket_grpc.services.sprocket import SprocketService
from sprocket_grpc.services.sprocket_type import SprocketTypeService
from sprocket_grpc.services.standard.dependencies import ServiceDependencies
from sprocket_grpc.services.standard.token_cipher import TokenCipher
from sprocket_grpc.services.standard.writes import Writes

_SINGLE_BYTES = 3 << 20
"""The largest request without a repeated field: more than any valid one, so that texts that are too long are named."""

_HEALTH_BYTES = 64 << 10
"""The largest request of health and reflection, which hold a name."""

_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

_REFLECTION = reflection.SERVICE_NAME

_REFLECTION_V1 = _REFLECTION.replace("v1alpha", "v1")


def contract_rpcs(dependencies: ServerDependencies) -> Iterator[Rpc]:
    """Yield the RPCs of the contract."""
    largest = dependencies.settings.message_bytes_maximum
    for service, servicer in _servicers(dependencies).items():
        for method in _methods(service):
            many = any(field.is_repeated for field in method.input_type.fields)
            yield _rpc(method, servicer, largest if many else min(largest, _SINGLE_BYTES))


def health_rpcs(servicer: HealthServicer) -> Iterator[Rpc]:
    """Yield the RPCs of the health service."""
    for method in _methods(_HEALTH):
        yield _rpc(method, servicer, _HEALTH_BYTES)


def reflection_rpcs() -> Iterator[Rpc]:
    """Yield the RPCs of both versions of reflection, which are the same on the wire."""
    _describe_reflection_v1()
    names = [*SERVICES, _HEALTH, _REFLECTION, _REFLECTION_V1]
    servicer = reflection.aio.ReflectionServicer(names, commented_pool())
    for method in _methods(_REFLECTION):
        for service in (_REFLECTION, _REFLECTION_V1):
            yield _rpc(method, servicer, _HEALTH_BYTES, service)


def _rpc(method: MethodDescriptor, servicer: object, largest: int, service: str = "") -> Rpc:
    return Rpc(
        f"/{service or method.containing_service.full_name}/{method.name}",
        GetMessageClass(method.input_type),
        getattr(servicer, method.name),
        method.server_streaming,
        method.client_streaming,
        largest,
    )


def _methods(service: str) -> list[MethodDescriptor]:
    return list(descriptor_pool.Default().FindServiceByName(service).methods)


def _describe_reflection_v1() -> None:
    """Add the description of version 1 to the pool: the library has version 1alpha only, which differs in its name."""
    described = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(described)
    renamed = MessageToJson(described).replace("v1alpha", "v1")
    descriptor_pool.Default().Add(Parse(renamed, descriptor_pb2.FileDescriptorProto()))


def _servicers(dependencies: ServerDependencies) -> Mapping[str, object]:
    """Return the servicers of the contract, by the names of their services."""
    shared, charts = _service_dependencies(dependencies)
    return {
        "sprocket.v1.AuditService": AuditService(shared),
        "sprocket.v1.FactoryService": FactoryService(shared, charts),
        "sprocket.v1.LocationService": LocationService(shared),
        "sprocket.v1.SprocketService": SprocketService(shared),
        "sprocket.v1.SprocketTypeService": SprocketTypeService(shared),
    }


def _service_dependencies(dependencies: ServerDependencies) -> tuple[ServiceDependencies, FactoryCharts]:
    settings, database, read_router = dependencies.settings, dependencies.database, dependencies.read_router
    cipher = TokenCipher(database, _token_secrets(settings))
    shared = ServiceDependencies(
        database,
        read_router,
        Writes(database, settings.request_id_hours),
        cipher,
        settings.page_size_default,
        settings.page_size_maximum,
    )
    charts = ChartDependencies(
        database, read_router, cipher, dependencies.chart_poller, settings.follow_progress_seconds
    )
    return shared, FactoryCharts(charts)


def _token_secrets(settings: Settings) -> list[str]:
    return settings.page_token_keys.get_secret_value().split(",") if settings.page_token_keys else []
