"""Measures the cost of telemetry: a point read with log, metrics and traces, against one without."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from bench.contenders import Contender, checked, in_turns
from bench.plan import Bench
from bench.processes import Server, serving
from bench.reads import GET
from bench.report import Figure, Target
from bench.resources import create_resources
from sprocket.v1.factory_pb2 import GetFactoryRequest, GetFactoryResponse

_ANSWERS = {
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": ExportMetricsServiceResponse(),
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": ExportTraceServiceResponse(),
}
_NO_TELEMETRY = "no telemetry"
_QUIET = {"SPROCKET_LOG_LEVEL": "WARNING"}
_METRICS = {"SPROCKET_METRICS_LISTEN": "127.0.0.1:0"}
_TARGET = Target("<=", 1.2)


class _Collector(grpc.GenericRpcHandler):
    """Accepts all exports, and drops them."""

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        answer = _ANSWERS[details.method].SerializeToString()
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: answer)


@contextmanager
def _collecting() -> Iterator[str]:
    with ThreadPoolExecutor(2) as executor:
        server = grpc.server(executor)
        server.add_generic_rpc_handlers([_Collector()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.stop(grace=None).wait()


def measure_telemetry(bench: Bench) -> Iterator[Figure]:
    """Measure GetFactory with all telemetry, with each kind of it, and with none."""
    with ExitStack() as until_the_end:
        sent = {"SPROCKET_OTLP_ENDPOINT": until_the_end.enter_context(_collecting())}
        ways = {
            _NO_TELEMETRY: _QUIET,
            "access log": {},
            "metrics for Prometheus": _QUIET | _METRICS,
            "traces and metrics by OTLP": _QUIET | sent,
            "log, metrics and traces": _METRICS | sent,
        }
        servers = {
            name: until_the_end.enter_context(serving(bench.postgres.url, settings)) for name, settings in ways.items()
        }
        runs = in_turns(_contenders(servers), bench.postgres, bench.plan.rounds, bench.plan.seconds, bench.progress)
    reference, *measured = ([run.server_micros for run in runs[name]] for name in ways)
    for name, micros in zip(list(ways)[1:], measured, strict=True):
        targets = (_TARGET,) if ways[name].keys() >= _METRICS.keys() | sent.keys() else ()
        yield Figure(f"GetFactory, CPU, {name}", "us", micros, _NO_TELEMETRY, reference, targets)


def _contenders(servers: Mapping[str, Server]) -> dict[str, Contender]:
    [factory_id] = create_resources(servers[_NO_TELEMETRY].address, 1).factory_ids
    message = GetFactoryRequest(id=factory_id)
    requests = {name: checked(each, GET, message, GetFactoryResponse())[0] for name, each in servers.items()}
    return {name: Contender([each], requests[name]) for name, each in servers.items()}
