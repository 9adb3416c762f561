"""`sprocket-grpc health`, in the environments of containers."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sprocket_grpc.config.addresses import is_loopback, reachable
from tests.support.command_line import run, serving

pytestmark = pytest.mark.slow


@contextmanager
def deaf_proxy() -> Iterator[str]:
    """Yield the URL of a proxy that accepts connections and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_proxy_in_the_environment_is_not_asked_about_this_machine(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with deaf_proxy() as proxy, serving(database_url=database_url) as served:
        for variable in ("grpc_proxy", "https_proxy", "http_proxy"):
            monkeypatch.setenv(variable, proxy)
        for host in ("127.0.0.1", "localhost"):
            finished = run("health", "--server", f"{host}:{served.address.rpartition(':')[2]}")
            assert (finished.status, finished.output) == (0, "SERVING\n"), finished


def test_a_server_on_all_interfaces_is_asked_with_ipv4_which_every_host_has(database_url: str) -> None:
    with serving(database_url=database_url, listen="[::]:0") as served:
        assert served.address.startswith("[::]:")
        finished = run("health", listen=served.address)
        assert (finished.status, finished.output) == (0, "SERVING\n"), finished
    assert reachable("[::]:1") == reachable("0.0.0.0:1") == "127.0.0.1:1"
    assert reachable("[::1]:1") == "[::1]:1"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("::1", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("db.example", False),
        ("", False),
    ],
)
def test_only_this_machine_reaches_a_loopback_host(host: str, expected: object) -> None:
    assert is_loopback(host) is expected
