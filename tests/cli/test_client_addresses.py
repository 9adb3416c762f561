"""Which addresses client commands accept, where keys go without TLS, and which connections avoid a proxy."""

import click
import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sprocket_grpc.cli.client.address import AddressType, is_address, is_local
from tests.support.client_commands import LOCATION, failing_server, failure
from tests.support.command_line import run

SECRET = "sprocket_invented"  # noqa: S105  # as it says  # pragma: allowlist secret
NOWHERE = "192.0.2.1:50051"
"""An address of TEST-NET-1 (RFC 5737), which no machine has."""

LOCAL = ["localhost:1", "LOCALHOST:1", "127.0.0.1:1", "127.9.8.7:1", "[::1]:1", "unix:/tmp/s", "unix:///tmp/s"]
LOCAL += ["unix-abstract:s", "dns:localhost:1", "dns:///localhost:1", "ipv4:127.0.0.1:1", "ipv6:[::1]:1"]
REMOTE = [NOWHERE, "example.org:1", "0.0.0.0:1", "[::]:1", "[::ffff:192.0.2.1]:1", "localhost.example.org:1"]
REMOTE += ["dns://192.0.2.1/localhost:1", "ipv4:127.0.0.1:1,192.0.2.1:1", "xds:///localhost:1", "127.0.0.1.example:1"]
INVALID = {
    "": "not ''",
    "localhost": "with a port: localhost:50051 is the default one",
    "http://localhost:50051/": "without the scheme: localhost:50051",
    "https://localhost:50051": "without the scheme: localhost:50051",
    "http://localhost": "with a port: localhost:50051 is the default one",
    "http://localhost:50051/path": "not 'http://localhost:50051/path'",
    "localhost:50051/": "without the slash: localhost:50051",
    "::1": "with brackets around an IPv6 address, and with a port: [::1]:50051",
    "host:0": "not 'host:0'",
    "host:99999": "not 'host:99999'",
    "host:port": "not 'host:port'",
    "::1:50051": "not '::1:50051'",
    "[::1]": "with a port: [::1]:50051 is the default one",
    ":50051": "not ':50051'",
    "host:50051/path": "not 'host:50051/path'",
    "unix:": "not 'unix:'",
    "unix:\x1b[2J": r"not 'unix:\x1b[2J'",
}


@pytest.mark.parametrize("address", LOCAL)
def test_loopback_and_unix_sockets_are_local(address: str) -> None:
    assert is_address(address)
    assert is_local(address)


@pytest.mark.parametrize("address", REMOTE)
def test_every_other_address_is_remote(address: str) -> None:
    assert is_address(address)
    assert not is_local(address)


@pytest.mark.parametrize("address", INVALID)
def test_another_form_of_address_is_refused_with_the_form_that_is_expected(address: str) -> None:
    with pytest.raises(click.BadParameter) as error:
        AddressType().convert(address, None, None)
    assert error.value.message.startswith("expected HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051, ")
    assert error.value.message.endswith(INVALID[address])


@given(st.text(alphabet=st.sampled_from("localhost127.:[]/%,unixdps\x1b é"), max_size=24))
@settings(max_examples=500, deadline=None)
def test_only_an_address_of_this_machine_is_local(text: str) -> None:
    if is_address(text) and is_local(text):
        assert text.lower().startswith(("unix", "localhost:", "127.", "[::", "dns:", "ipv4:", "ipv6:"))


@pytest.mark.parametrize("command", [["list", "factories"], ["chart", "Works"], ["audit"], ["health"]], ids=" ".join)
@pytest.mark.parametrize("address", ["localhost", "http://localhost:50051", "localhost:99999", "", "\udcff:1"])
def test_every_command_names_the_option_of_an_invalid_address(command: list[str], address: str) -> None:
    finished = run(*command, "--server", address)
    assert finished.status == 2
    assert "'--server'" in finished.errors.splitlines()[-1]
    assert "expected HOST:PORT" in finished.errors.splitlines()[-1]


def test_an_invalid_address_of_the_own_server_is_named_by_its_variable() -> None:
    finished = run("list", "factories", listen="localhost")
    finished.assert_refused()
    assert finished.errors.startswith("Error: SPROCKET_LISTEN: expected HOST:PORT")


# Keys without TLS.


@pytest.mark.parametrize("command", [["list", "factories"], ["chart", "Works"], ["audit"], ["health"]], ids=" ".join)
def test_no_command_sends_a_key_to_another_machine_without_tls(command: list[str]) -> None:
    finished = run(*command, client_server=NOWHERE, client_api_key=SECRET)
    finished.assert_refused()
    expected = f"Error: the API key or token would be sent to {NOWHERE} without TLS: pass --tls-ca, or --insecure "
    assert finished.errors.startswith(expected)
    assert finished.errors.count("\n") == 1
    assert SECRET not in finished.errors


@pytest.mark.parametrize(
    ("options", "variables"), [(["--insecure"], {}), ([], {"client_insecure": "true"})], ids=["option", "variable"]
)
def test_the_key_is_sent_if_the_user_says_so(options: list[str], variables: dict[str, str]) -> None:
    with failing_server() as server:
        address = server.address.replace("127.0.0.1", "0.0.0.0")  # noqa: S104  # reaches loopback, but is not local
        arguments = ["create", "location", *LOCATION]
        run(*arguments, client_server=address, client_api_key=SECRET).assert_refused()
        assert not server.metadata
        assert run(*arguments, *options, client_server=address, client_api_key=SECRET, **variables).status == 0
    assert server.metadata[0]["authorization"] == f"Bearer {SECRET}"


def test_without_a_key_any_server_is_called() -> None:
    with failing_server() as server:
        address = server.address.replace("127.0.0.1", "0.0.0.0")  # noqa: S104  # as above
        assert run("create", "location", *LOCATION, client_server=address).status == 0


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_a_key_is_sent_to_this_machine(name: str) -> None:
    with failing_server(failure(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")) as server:
        address = f"{name}:{server.address.rpartition(':')[2]}"
        run("create", "location", *LOCATION, client_server=address, client_api_key=SECRET)
    assert server.metadata[0]["authorization"] == f"Bearer {SECRET}"


# Proxies.


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
def test_a_proxy_is_not_asked_for_this_machine(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    with failing_server() as server:
        finished = run("create", "location", *LOCATION, "--timeout", "10", client_server=server.address)
    assert (finished.status, finished.errors) == (0, "")


# Text that is not UTF-8.


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["list", "factories", "--filter", "\udcff"], "'--filter'"),
        (["list", "factories", "--order-by", "\udcff"], "'--order-by'"),
        (["list", "factories", "--columns", "\udcff"], "'--columns'"),
        (["get", "factory", "a", "\udcff"], "'FACTORY...'"),
        (["delete", "factory", "\udcff", "--yes"], "'FACTORY...'"),
        (["delete", "factory", "a", "--etag", "\udcff"], "'--etag'"),
        (["create", "location", "--city", "\udcff"], "'--city'"),
        (["create", "location", *LOCATION, "--request-id", "\udcff"], "'--request-id'"),
        (["update", "location", "\udcff", "--city", "x"], "'LOCATION'"),
        (["export", "factories", "x.csv", "--filter", "\udcff"], "'--filter'"),
        (["chart", "\udcff"], "'FACTORY'"),
        (["chart", "a", "--since", "\udcff"], "'--since'"),
        (["audit", "--principal", "\udcff"], "'--principal'"),
        (["health", "--service", "\udcff"], "'--service'"),
    ],
    ids=lambda value: " ".join(value).encode("ascii", "replace").decode() if isinstance(value, list) else "",
)
def test_text_that_is_not_utf_8_is_refused_in_one_line_that_names_the_option(arguments: list[str], option: str) -> None:
    finished = run(*arguments, client_server="127.0.0.1:1")
    assert finished.status == 2
    assert option in finished.errors.splitlines()[-1]
    assert "Traceback" not in finished.errors
