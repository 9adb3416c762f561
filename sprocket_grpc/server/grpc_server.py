"""Creates the gRPC servers: options, and the RPCs of all services within their interceptors."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import grpc

from sprocket_grpc.config.addresses import AddressInUseError
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.interceptors.access_log import AccessLog
from sprocket_grpc.interceptors.arrivals import Arrivals
from sprocket_grpc.interceptors.call import Interceptor
from sprocket_grpc.interceptors.chain import Answer, InterceptorChain, Rpc
from sprocket_grpc.interceptors.concurrency import ConcurrencyLimit, everyone, holder
from sprocket_grpc.interceptors.errors import ErrorMapping
from sprocket_grpc.interceptors.lifetime import Lifetime
from sprocket_grpc.server.dependencies import ServerDependencies
from sprocket_grpc.server.grpc_transport import add_rpcs, leave_out_what_strangers_cause
from sprocket_grpc.server.rpcs import contract_rpcs, health_rpcs, reflection_rpcs
from sprocket_grpc.slots import Slots

_ChannelOptions: TypeAlias = list[tuple[str, int]]

_MOST_PENDING = 100_000

_REFLECTION_STREAMS = 100
"""The reflection streams at a time; half of them from one address. Tools open one for a moment."""

# For both listeners.
OPTIONS: _ChannelOptions = [
    # Clients may send a keepalive ping every 10 s even without a call, which proxies and mobile networks need. By
    # default, gRPC closes their connections with "too_many_pings". Half of it, since pings arrive unevenly.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # The server pings clients too, to end the streams of a client that disappeared, for example by a cut cable.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # grpc.keepalive_timeout_ms has no effect: it took a minute
]


class Listener(NamedTuple):
    """A server that is ready to start.

    Attributes:
        server: The server.
        port: Its port.
        lifetime: Ends its calls.
        answers: The RPCs of the contract within their interceptors, for other listeners.
    """

    server: grpc.aio.Server
    port: int
    lifetime: Lifetime
    answers: Sequence[tuple[Rpc, Answer]]


def create_server(dependencies: ServerDependencies, *, shares_port: bool = False) -> Listener:
    """Return a server that is ready to start.

    Args:
        dependencies: The dependencies of the server.
        shares_port: Whether other processes may listen on the same port, with SO_REUSEPORT.

    Raises:
        AddressInUseError: The address is in use, or is not an address of this machine.
        TlsError: The certificate and key cannot be used.
    """
    settings = dependencies.settings
    leave_out_what_strangers_cause()
    server = grpc.aio.server(options=_options(settings, shares_port=shares_port))
    lifetime = Lifetime(settings.call_timeout_seconds)
    contract = _chain([*_interceptors(dependencies, lifetime)], settings)
    answers = {rpc: contract.around(rpc) for rpc in contract_rpcs(dependencies)}
    add_rpcs(server, answers, answers.__getitem__)
    add_rpcs(server, health_rpcs(dependencies.monitor.servicer), _health_chain(settings).around)
    if settings.reflects:
        add_rpcs(server, reflection_rpcs(), _reflection_chain(lifetime, settings).around)
    port = _listen(server, settings.listen, "SPROCKET_LISTEN", _credentials(settings))
    return Listener(server, port, lifetime, [*answers.items()])


def create_health_server(
    dependencies: ServerDependencies, *, shares_port: bool = False
) -> tuple[grpc.aio.Server, int | None]:
    """Return a server for the health service only, and its port, or None if the settings name no address for it.

    Clients such as the probes of Kubernetes check health here without TLS.

    Raises:
        AddressInUseError: The address is in use, or is not an address of this machine.
    """
    settings = dependencies.settings
    server = grpc.aio.server(options=[*OPTIONS, _reuseport_option(shares_port=shares_port)])
    if settings.health_listen is None:
        return server, None
    add_rpcs(server, health_rpcs(dependencies.monitor.servicer), _health_chain(settings).around)
    return server, _listen(server, settings.health_listen, "SPROCKET_HEALTH_LISTEN")


def _options(settings: Settings, *, shares_port: bool) -> _ChannelOptions:
    return [
        *OPTIONS,
        _reuseport_option(shares_port=shares_port),
        # By default, gRPC ends calls at random while more than 1,000 wait for us, honest ones in a flood too, and with
        # CANCELLED, which no client retries. The interceptors refuse those that are over a limit.
        ("grpc.server.max_pending_requests", _MOST_PENDING),
        ("grpc.server.max_pending_requests_hard_limit", _MOST_PENDING),
        # A request of which nothing is read yet has at most 64 kB: windows do not grow with the bandwidth.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.max_concurrent_streams", settings.connection_stream_limit),
        ("grpc.max_receive_message_length", settings.message_bytes_maximum),
        # Without a grace period, connections with open streams would never be closed.
        ("grpc.max_connection_age_ms", round(settings.connection_age_seconds * 1000)),
        ("grpc.max_connection_age_grace_ms", round(settings.connection_age_grace_seconds * 1000)),
    ]


def _reuseport_option(*, shares_port: bool) -> tuple[str, int]:
    # By default, a second server could listen on the same port unnoticed, and would get a part of the calls.
    return ("grpc.so_reuseport", int(shares_port))


def _credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """Return the credentials of the server, or None if TLS is off.

    Raises:
        TlsError: The certificate and key cannot be used.
    """
    if settings.tls_certificate is None:
        return None
    from sprocket_grpc.server.tls import load_tls  # noqa: PLC0415  # 20 ms, only for SPROCKET_TLS_CERTIFICATE

    tls = load_tls(settings)
    return tls.credentials() if tls else None


def _listen(
    server: grpc.aio.Server, address: str, setting: str, credentials: grpc.ServerCredentials | None = None
) -> int:
    try:
        if credentials:
            return server.add_secure_port(address, credentials)
        return server.add_insecure_port(address)
    except RuntimeError:
        raise AddressInUseError(address, setting) from None


def _chain(interceptors: Sequence[Interceptor], settings: Settings) -> InterceptorChain:
    limit = settings.arrival_limit
    arrivals = Arrivals(limit, max(1, limit // 4), settings.arrival_timeout_seconds)
    return InterceptorChain(interceptors, arrivals)


def _interceptors(dependencies: ServerDependencies, lifetime: Lifetime) -> Iterator[Interceptor]:
    """Yield the interceptors of the contract, the outermost first."""
    settings = dependencies.settings
    if dependencies.instrumentation:
        yield from dependencies.instrumentation.interceptors
    yield AccessLog()
    yield ErrorMapping()
    yield lifetime
    yield ConcurrencyLimit(
        Slots(settings.concurrency_limit, settings.concurrency_limit, "calls"),
        Slots(settings.stream_limit, settings.stream_limit, "streams"),
        everyone,
    )
    if dependencies.authentication:
        from sprocket_grpc.interceptors.authorization import Authorization  # noqa: PLC0415  # 20 ms: it counts failures

        yield Authorization(dependencies.authentication, settings.stranger_rate_limit)
        yield ConcurrencyLimit(
            Slots(settings.concurrency_limit, settings.principal_calls, "calls"),
            Slots(settings.stream_limit, settings.principal_streams, "streams"),
            holder,
        )
    if dependencies.rate_limit:
        yield dependencies.rate_limit


def _health_chain(settings: Settings) -> InterceptorChain:
    """Return the chain of the health service, which answers when everything else fails: in no other limit or log."""
    checks, watches = (_half_each(settings.health_limit, kind) for kind in ("health checks", "health watches"))
    return _chain([ErrorMapping(), ConcurrencyLimit(checks, watches, holder)], settings)


def _reflection_chain(lifetime: Lifetime, settings: Settings) -> InterceptorChain:
    """Return the chain of reflection. It asks for no credentials, since tools do not send them."""
    slots = _half_each(_REFLECTION_STREAMS, "reflection streams")
    return _chain([AccessLog(), ErrorMapping(), ConcurrencyLimit(slots, slots, holder), lifetime], settings)


def _half_each(limit: int, kind: str) -> Slots:
    return Slots(limit, max(1, limit // 2), kind)
