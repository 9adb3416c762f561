"""Creates the web listener, and imports what it needs only if there is one."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from grpc_health.v1.health_pb2 import HealthCheckRequest

from sprocket_grpc.config.web import web_addresses
from sprocket_grpc.interceptors.access_log import EVERY_CODE, AccessLog
from sprocket_grpc.interceptors.call import Interceptor
from sprocket_grpc.interceptors.chain import Answer, Rpc
from sprocket_grpc.interceptors.errors import ErrorMapping
from sprocket_grpc.server.dependencies import ServerDependencies
from sprocket_grpc.server.health import LIVENESS, READINESS, SERVING, HealthServicer

if TYPE_CHECKING:
    from sprocket_grpc.web.listener import WebListener


def create_web_listener(
    dependencies: ServerDependencies,
    answers: Sequence[tuple[Rpc, Answer]],
    grpc_port: int,
    *,
    shares_port: bool = False,
) -> "WebListener | None":
    """Return a listener that is ready to start, or None if the settings name none.

    Args:
        dependencies: The dependencies of the server.
        answers: The RPCs that can be called, within their interceptors.
        grpc_port: The port where the same RPCs are served by gRPC.
        shares_port: Whether other processes may listen on the same port, with SO_REUSEPORT.

    Raises:
        AddressInUseError: The address is in use, or is not an address of this machine.
    """
    settings = dependencies.settings
    if not web_addresses(settings):
        return None
    from sprocket_grpc.web.app import WebApp  # noqa: PLC0415  # only for a web listener
    from sprocket_grpc.web.contract_page import contract_json  # noqa: PLC0415  # as above
    from sprocket_grpc.web.guard import Guard  # noqa: PLC0415  # as above
    from sprocket_grpc.web.listener import WebListener  # noqa: PLC0415  # as above
    from sprocket_grpc.web.methods import methods_by_path  # noqa: PLC0415  # as above
    from sprocket_grpc.web.openapi import openapi  # noqa: PLC0415  # as above
    from sprocket_grpc.web.pages import health_page, index_page, json_page  # noqa: PLC0415  # as above
    from sprocket_grpc.web.refusals import Refusals  # noqa: PLC0415  # as above
    from sprocket_grpc.web.static_pages import html_or_else, static_pages  # noqa: PLC0415  # as above

    methods = methods_by_path(answers)
    is_serving = partial(_is_serving, dependencies.monitor.servicer)
    pages = {
        "/": index_page,
        "/healthz/live": health_page(partial(is_serving, LIVENESS)),
        "/healthz/ready": health_page(partial(is_serving, READINESS)),
    }
    if settings.reflects:
        pages |= static_pages()
        pages["/"] = html_or_else(pages["/"], index_page)
        pages["/openapi.json"] = json_page(partial(openapi, methods, authenticates=settings.authenticates))
        pages["/contract.json"] = json_page(partial(contract_json, methods, settings, grpc_port))
    guard = Guard(settings.web_hosts or (), settings.web_origins or ())
    app = WebApp(methods, pages, guard, Refusals(_around_refusals(dependencies)))
    return WebListener(app, settings, shares_port=shares_port)


def _around_refusals(dependencies: ServerDependencies) -> list[Interceptor]:
    """Return the interceptors for requests that are refused before they are calls, of which strangers send floods."""
    counting = dependencies.instrumentation.refusals if dependencies.instrumentation else []
    return [*counting, AccessLog(refused=EVERY_CODE), ErrorMapping()]


async def _is_serving(servicer: HealthServicer, service: str) -> bool:
    response = await servicer.Check(HealthCheckRequest(service=service), None)
    return response.status == SERVING
