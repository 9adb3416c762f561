"""Health by HTTP, for load balancers and probes that do not speak gRPC."""

from tests.support.http import send
from tests.support.web import WebService


async def test_a_serving_server_is_ready_and_live(web: WebService) -> None:
    for page in ("live", "ready"):
        answered = await send(web.web, "GET", f"/healthz/{page}")
        assert (answered.status, answered.body) == (200, b"SERVING\n")


async def test_a_draining_server_is_live_but_not_ready(web: WebService) -> None:
    web.dependencies.monitor.drain()
    assert (await send(web.web, "GET", "/healthz/ready")).status == 503
    assert (await send(web.web, "GET", "/healthz/live")).status == 200


async def test_head_has_no_body(web: WebService) -> None:
    answered = await send(web.web, "HEAD", "/healthz/ready")
    assert (answered.status, answered.body) == (200, b"")


async def test_the_first_page_says_what_is_here(web: WebService) -> None:
    answered = await send(web.web, "GET", "/")
    assert f"curl http://{web.web}/sprocket.v1.FactoryService/ListFactories" in answered.body.decode()
