"""The web listener of a process: its address, its workers, its place in the order of a stop, and TLS."""

import asyncio
import json
import signal
import socket
import ssl
import threading
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from sprocket_grpc.config.settings import Settings
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests.server.test_shutdown import locked_factories, scalar
from tests.support.callers import Certificate, certificate, server_certificate
from tests.support.command_line import PATIENCE_SECONDS, ServeProcess, run, serving
from tests.support.http import connected, head, receive
from tests.support.ports import free_address
from tests.support.waiting import wait_until, wait_until_blocked
from tests.support.web import FACTORIES, WebService, running_web_service

pytestmark = pytest.mark.slow

ROOT, OTHER_ROOT = certificate("root"), certificate("other root")
LINK = "for browsers and curl: "


def link(served: ServeProcess) -> str:
    """Return the link that was printed."""
    [line] = [each for each in served.lines if each.startswith(LINK)]
    return line.removeprefix(LINK)


def call(url: str, method: str = "ListFactories", **message: Any) -> Any:
    """Call a method, and return its response."""
    request = Request(f"{url[:-1]}{FACTORIES}/{method}", json.dumps(message).encode())  # noqa: S310  # http
    request.add_header("content-type", "application/json")
    with urlopen(request, timeout=PATIENCE_SECONDS) as response:  # noqa: S310  # as above
        return json.loads(response.read())


def status(url: str) -> int:
    """Return the status of a page."""
    try:
        with urlopen(url, timeout=PATIENCE_SECONDS) as response:  # noqa: S310  # http
            return int(response.status)
    except HTTPError as error:
        return error.code


@pytest.fixture
def seeded_url(database_url: str) -> str:
    with create_plain_engine(database_url).begin() as connection:
        seed(connection)
    return database_url


@pytest.mark.parametrize("workers", ["1", "2"])
def test_in_development_each_server_prints_a_link_to_a_port_of_its_own(seeded_url: str, workers: str) -> None:
    command = ("--workers", workers)
    with serving(*command, database_url=seeded_url) as one, serving(*command, database_url=seeded_url) as other:
        assert link(one) != link(other)
        for served in (one, other):
            assert link(served).startswith("http://127.0.0.1:")
            for _ in range(5):
                assert len(call(link(served))["factories"]) > 1
            served.signal(signal.SIGTERM)
            assert served.end().status == 0


def test_an_address_that_is_in_use_is_refused_and_its_setting_named(database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        finished = run("serve", database_url=database_url, web_listen=address, listen=free_address())
    finished.assert_refused()
    assert f"cannot listen on {address}" in finished.errors
    assert "SPROCKET_WEB_LISTEN" in finished.errors


def test_a_call_in_flight_finishes_when_the_server_stops(seeded_url: str) -> None:
    with serving(database_url=seeded_url, drain_seconds="0") as served:
        factory = scalar(seeded_url, "SELECT min(id::text) FROM factory")
        results: list[Any] = []
        update = {"factory": {"id": factory, "displayName": "Last"}, "updateMask": "displayName"}
        caller = threading.Thread(target=lambda: results.append(call(link(served), "UpdateFactory", **update)))
        with locked_factories(seeded_url):
            caller.start()
            wait_until_blocked(seeded_url, 1)
            served.signal(signal.SIGTERM)
            wait_until(lambda: not takes_connections(link(served)))
        caller.join(PATIENCE_SECONDS)
        finished = served.end()
    assert results[0]["factory"]["displayName"] == "Last"
    assert finished.status == 0
    assert "Traceback" not in finished.errors


def takes_connections(url: str) -> bool:
    """Return whether somebody listens."""
    host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
    try:
        socket.create_connection((host, int(port))).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize(("grace", "is_hurried"), [("0.5", False), ("3600", True)], ids=["grace", "second signal"])
def test_a_call_that_does_not_finish_in_time_is_told_that_the_server_stops(
    seeded_url: str, grace: str, *, is_hurried: bool
) -> None:
    with serving(database_url=seeded_url, drain_seconds="0", shutdown_grace_seconds=grace) as served:
        factory = scalar(seeded_url, "SELECT min(id::text) FROM factory")
        results: list[Any] = []

        def update() -> None:
            try:
                call(
                    link(served), "UpdateFactory", factory={"id": factory, "displayName": "x"}, updateMask="displayName"
                )
            except HTTPError as error:
                results.append((error.code, error.headers["retry-after"], json.loads(error.read())["code"]))

        caller = threading.Thread(target=update)
        with locked_factories(seeded_url):
            caller.start()
            wait_until_blocked(seeded_url, 1)
            served.signal(signal.SIGTERM)
            if is_hurried:
                wait_until(lambda: not takes_connections(link(served)))
                served.signal(signal.SIGTERM)
            finished = served.end()
        caller.join(PATIENCE_SECONDS)
    assert results == [(503, "1", "unavailable")]
    assert (finished.status, "Traceback" in finished.errors) == (0, False)


def test_a_draining_server_still_answers_but_is_not_ready(seeded_url: str) -> None:
    with serving(database_url=seeded_url, drain_seconds="3600") as served:
        url = link(served)
        assert status(f"{url}healthz/ready") == 200
        served.signal(signal.SIGTERM)
        wait_until(lambda: status(f"{url}healthz/ready") == 503)
        assert status(f"{url}healthz/live") == 200
        assert call(url)["factories"]
        served.signal(signal.SIGTERM)
        assert served.end().status == 0


def test_an_idle_connection_does_not_delay_a_stop(database_url: str) -> None:
    with serving(database_url=database_url, drain_seconds="0", shutdown_grace_seconds="3600") as served:
        port = int(link(served).rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)):
            served.signal(signal.SIGTERM)
            assert served.end().status == 0


def test_a_server_for_client_certificates_alone_refuses_to_listen_for_http(database_url: str, tmp_path: Path) -> None:
    files = {name: str(path) for name, path in server_certificate(ROOT).write(tmp_path).items()}
    (tmp_path / "ca.crt").write_bytes(ROOT.pem)
    settings = files | {"tls_client_ca": str(tmp_path / "ca.crt"), "database_url": database_url}
    finished = run("serve", web_listen="127.0.0.1:0", **settings)
    finished.assert_refused()
    assert "SPROCKET_WEB_LISTEN: expected none with SPROCKET_TLS_CLIENT_CA" in finished.errors
    with serving(**settings) as served:
        assert not any(line.startswith(LINK) for line in served.lines)


def test_in_production_there_is_no_listener_unless_it_is_set(database_url: str) -> None:
    settings = {
        "database_url": database_url,
        "environment": "production",
        "api_keys": "true",  # pragma: allowlist secret
        "drain_seconds": "0",
    }
    with serving(**settings) as served:
        assert not any(line.startswith(LINK) for line in served.lines)
    with serving(web_listen="127.0.0.1:0", **settings) as served:
        assert status(f"{link(served)}healthz/ready") == 200


# TLS.


def trusting(root: Certificate) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=root.pem.decode())


async def answers(web: WebService, root: Certificate) -> bool:
    """Whether a new connection gets a certificate that a root has signed."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), connected(web.web, trusting(root)) as (reader, writer):
            writer.write(head("GET", "/healthz/live", {"host": "localhost"}))
            return (await receive(reader)).status == 200
    except ssl.SSLCertVerificationError:
        return False


async def test_a_renewed_certificate_is_shown_without_a_restart_and_a_broken_one_is_not(
    database_url: str, tmp_path: Path
) -> None:
    settings = Settings.model_validate(server_certificate(ROOT).write(tmp_path))
    async with running_web_service(database_url, settings) as web:
        assert await answers(web, ROOT)
        server_certificate(OTHER_ROOT).write(tmp_path)
        assert await answers(web, OTHER_ROOT)
        assert not await answers(web, ROOT)
        (tmp_path / "tls.key").write_bytes(server_certificate(ROOT).key_pem)  # for another certificate
        assert await answers(web, OTHER_ROOT)
        server_certificate(ROOT).write(tmp_path)
        assert await answers(web, ROOT)
