"""Creates the gRPC server: services, health, reflection, the chain of interceptors, and options."""

from typing import TypeAlias

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from sprocket.v1.audit_pb2_grpc import add_AuditServiceServicer_to_server
from sprocket.v1.factory_pb2_grpc import add_FactoryServiceServicer_to_server
from sprocket.v1.location_pb2_grpc import add_LocationServiceServicer_to_server
from sprocket.v1.sprocket_pb2_grpc import add_SprocketServiceServicer_to_server
from sprocket.v1.sprocket_type_pb2_grpc import add_SprocketTypeServiceServicer_to_server
from sprocket_grpc.config.addresses import AddressInUseError
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.contract import SERVICES
from sprocket_grpc.interceptors.access_log import AccessLog
from sprocket_grpc.interceptors.authorization import Authorization
from sprocket_grpc.interceptors.call import Interceptor
from sprocket_grpc.interceptors.call_timeout import CallTimeout
from sprocket_grpc.interceptors.chain import InterceptorChain
from sprocket_grpc.interceptors.concurrency import ConcurrencyLimit
from sprocket_grpc.interceptors.errors import ErrorMapping
from sprocket_grpc.server.dependencies import ServerDependencies
from sprocket_grpc.server.tls import load_tls
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

_ChannelOptions: TypeAlias = list[tuple[str, int]]

# For both listeners.
OPTIONS: _ChannelOptions = [
    # Clients may send a keepalive ping every 10 s even without a call, which proxies and mobile networks need. By
    # default, gRPC closes their connections with "too_many_pings".
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # The server pings clients too, to end the streams of a client that disappeared, for example by a cut cable.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


def create_server(dependencies: ServerDependencies, *, shares_port: bool = False) -> tuple[grpc.aio.Server, int]:
    """Return a server that is ready to start, and its port.

    Args:
        dependencies: The dependencies of the server.
        shares_port: Whether other processes may listen on the same port, with SO_REUSEPORT.

    Raises:
        AddressInUseError: The address is in use, or is not an address of this machine.
        TlsError: The certificate and key cannot be used.
    """
    settings = dependencies.settings
    options = _options(settings, shares_port=shares_port)
    server = grpc.aio.server(interceptors=[InterceptorChain(_interceptors(dependencies))], options=options)
    _add_services(server, dependencies)
    health_pb2_grpc.add_HealthServicer_to_server(dependencies.monitor.servicer, server)
    if settings.reflects:
        reflection.enable_server_reflection([*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    tls = load_tls(settings)
    return server, _listen(server, settings.listen, "SPROCKET_LISTEN", tls.credentials() if tls else None)


def create_health_server(
    dependencies: ServerDependencies, *, shares_port: bool = False
) -> tuple[grpc.aio.Server, int | None]:
    """Return a server for the health service only, and its port, or None if the settings name no address for it.

    Clients such as the probes of Kubernetes check health here without TLS.

    Raises:
        AddressInUseError: The address is in use, or is not an address of this machine.
    """
    server = grpc.aio.server(options=[*OPTIONS, _reuseport_option(shares_port=shares_port)])
    if dependencies.settings.health_listen is None:
        return server, None
    health_pb2_grpc.add_HealthServicer_to_server(dependencies.monitor.servicer, server)
    return server, _listen(server, dependencies.settings.health_listen, "SPROCKET_HEALTH_LISTEN")


def _options(settings: Settings, *, shares_port: bool) -> _ChannelOptions:
    return [
        *OPTIONS,
        _reuseport_option(shares_port=shares_port),
        ("grpc.max_receive_message_length", settings.message_bytes_maximum),
        # Without a grace period, connections with open streams would never be closed.
        ("grpc.max_connection_age_ms", round(settings.connection_age_seconds * 1000)),
        ("grpc.max_connection_age_grace_ms", round(settings.connection_age_grace_seconds * 1000)),
    ]


def _reuseport_option(*, shares_port: bool) -> tuple[str, int]:
    # By default, a second server could listen on the same port unnoticed, and would get a part of the calls.
    return ("grpc.so_reuseport", int(shares_port))


def _listen(
    server: grpc.aio.Server, address: str, setting: str, credentials: grpc.ServerCredentials | None = None
) -> int:
    try:
        if credentials:
            return server.add_secure_port(address, credentials)
        return server.add_insecure_port(address)
    except RuntimeError:
        raise AddressInUseError(address, setting) from None


def _interceptors(dependencies: ServerDependencies) -> list[Interceptor]:
    """Return the interceptors, the outermost first."""
    settings = dependencies.settings
    interceptors: list[Interceptor] = [
        *(dependencies.instrumentation.interceptors if dependencies.instrumentation else ()),
        AccessLog(),
        ErrorMapping(),
        ConcurrencyLimit(settings.concurrency_limit, settings.stream_limit),
        CallTimeout(settings.call_timeout_seconds),
    ]
    if dependencies.authentication:
        interceptors.append(Authorization(dependencies.authentication))
    if dependencies.rate_limit:
        interceptors.append(dependencies.rate_limit)
    return interceptors


def _add_services(server: grpc.aio.Server, dependencies: ServerDependencies) -> None:
    settings, database, read_router = dependencies.settings, dependencies.database, dependencies.read_router
    secrets = settings.page_token_keys.get_secret_value().split(",") if settings.page_token_keys else []
    cipher = TokenCipher(database, secrets)
    shared = ServiceDependencies(
        database,
        read_router,
        Writes(database, settings.request_id_hours),
        cipher,
        settings.page_size_default,
        settings.page_size_maximum,
    )
    charts = FactoryCharts(
        ChartDependencies(database, read_router, cipher, dependencies.chart_poller, settings.follow_progress_seconds)
    )
    add_LocationServiceServicer_to_server(LocationService(shared), server)
    add_SprocketTypeServiceServicer_to_server(SprocketTypeService(shared), server)
    add_FactoryServiceServicer_to_server(FactoryService(shared, charts), server)
    add_SprocketServiceServicer_to_server(SprocketService(shared), server)
    add_AuditServiceServicer_to_server(AuditService(shared), server)
