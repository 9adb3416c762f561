"""How client commands connect to a server: TLS, certificates, keys, variables; and shell completion."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from cryptography.x509 import DNSName

from sprocket_grpc.testing.postgres import new_database
from tests.support.callers import certificate, create_key, server_certificate
from tests.support.client_commands import LOCATION, failing_server, failure
from tests.support.command_line import PATIENCE_SECONDS, Finished, ServeProcess, environment, run, serving
from tests.support.waiting import wait_until

ROOT, OTHER_ROOT = certificate("root"), certificate("other root")


class Guarded(NamedTuple):
    """A server with TLS that requires API keys, and another that requires client certificates.

    Attributes:
        served: The server that requires API keys.
        mutual: The server that requires client certificates.
        files: The directory of certificates and keys.
    """

    served: ServeProcess
    mutual: ServeProcess
    files: Path

    def list_factories(self, *arguments: str, **settings: str) -> Finished:
        """List the factories of the server that requires API keys."""
        return run("list", "factories", *arguments, **{"client_server": self.served.address} | settings)

    def path(self, name: str) -> str:
        """Return the path of a file."""
        return str(self.files / name)


@pytest.fixture(scope="module")
def guarded(postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    files = tmp_path_factory.mktemp("tls")
    (files / "ca.crt").write_bytes(ROOT.pem)
    (files / "other.crt").write_bytes(OTHER_ROOT.pem)
    client = certificate("client", [DNSName("planner")], ROOT)
    (files / "client.crt").write_bytes(client.pem)
    (files / "client.key").write_bytes(client.key_pem)
    tls = {name: str(path) for name, path in server_certificate(ROOT).write(files).items()}
    with new_database(postgres, template) as url:
        (files / "read").write_text(f"{create_key(url, 'read').text}\n")
        (files / "wrong").write_text("sprocket_nonsense")
        only = {"tls_client_ca": str(files / "ca.crt"), "tls_client_rights": "dns:planner=read"}
        with (
            serving(database_url=url, api_keys="true", **tls) as served,  # pragma: allowlist secret
            serving(database_url=url, **only, **tls) as mutual,
        ):
            yield Guarded(served, mutual, files)


# TLS and credentials.


def test_options_set_the_root_certificate_and_the_file_of_the_key(guarded: Guarded) -> None:
    finished = guarded.list_factories("--tls-ca", guarded.path("ca.crt"), "--api-key-file", guarded.path("read"))
    assert (finished.status, finished.errors) == (0, "")


def test_environment_variables_set_them_too_or_hold_the_key_itself(guarded: Guarded) -> None:
    root = {"client_tls_ca": guarded.path("ca.crt")}
    assert guarded.list_factories(**root, client_api_key_file=guarded.path("read")).status == 0
    assert guarded.list_factories(**root, client_api_key=(guarded.files / "read").read_text()).status == 0


def test_a_client_certificate_is_sent_to_a_server_that_requires_one(guarded: Guarded) -> None:
    shown = ["--tls-certificate", guarded.path("client.crt"), "--tls-key", guarded.path("client.key")]
    assert (
        guarded.list_factories("--tls-ca", guarded.path("ca.crt"), *shown, client_server=guarded.mutual.address).status
        == 0
    )


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["audit"], "the caller lacks the permission sprocket.audit_entries.read"),
        (["chart", "Works"], "no factory has the display name 'Works'"),
        (["health"], "SERVING\n"),
    ],
)
def test_all_client_commands_connect_with_these_options(guarded: Guarded, command: list[str], expected: str) -> None:
    options = ["--tls-ca", guarded.path("ca.crt"), "--api-key-file", guarded.path("read")]
    finished = run(*command, *options, client_server=guarded.served.address)
    assert expected in finished.output + finished.errors


@pytest.mark.parametrize(
    ("arguments", "which", "expected"),
    [
        ([], "served", "closed the connection; if it requires TLS, pass --tls-ca"),
        (["--tls-ca", "other.crt"], "served", "is not signed by any certificate in --tls-ca"),
        (
            ["--tls-ca", "ca.crt"],
            "mutual",
            "closed the connection; if it requires a client certificate, pass --tls-certificate and --tls-key",
        ),
        (
            ["--tls-ca", "ca.crt"],
            "served",
            "requires credentials: pass --api-key-file, or set SPROCKET_CLIENT_API_KEY",
        ),
        (["--tls-ca", "ca.crt", "--api-key-file", "wrong"], "served", "does not accept the API key or token"),
        (["--tls-ca", "read"], "served", "read: expected PEM"),
        (
            ["--tls-ca", "ca.crt", "--api-key-file", "ca.crt"],
            "served",
            "ca.crt: expected an API key or a token, which has no spaces",
        ),
    ],
)
def test_a_failed_connection_is_explained_in_one_line_that_says_what_to_do(
    guarded: Guarded,
    arguments: list[str],
    which: str,
    expected: str,
) -> None:
    paths = [each if each.startswith("--") else guarded.path(each) for each in arguments]
    finished = guarded.list_factories(*paths, "--timeout", "2", client_server=getattr(guarded, which).address)
    finished.assert_refused()
    assert expected in finished.errors
    assert finished.errors.count("\n") == 1


def test_users_may_turn_the_log_of_grpc_on(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_VERBOSITY", "INFO")
    finished = guarded.list_factories("--tls-ca", guarded.path("other.crt"), "--timeout", "2")
    assert "CERTIFICATE_VERIFY_FAILED" in finished.errors
    assert "is not signed by any certificate in --tls-ca" in finished.errors


def test_a_server_keeps_the_log_of_grpc(database_url: str, guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_TRACE", "")  # so that this server is not forked from a process without this log
    tls = {"tls_certificate": guarded.path("tls.crt"), "tls_key": guarded.path("tls.key")}
    with serving(database_url=database_url, **tls) as served:
        host, _, port = served.address.rpartition(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"no TLS")
            assert connection.recv(1 << 16) == b""
        wait_until(lambda: "Handshake failed" in served.logged)


def test_a_missing_permission_is_named_together_with_whom_to_ask(guarded: Guarded) -> None:
    options = ["--tls-ca", guarded.path("ca.crt"), "--api-key-file", guarded.path("read")]
    finished = run("create", "location", *LOCATION, *options, client_server=guarded.served.address)
    finished.assert_refused()
    expected = (
        f"the caller lacks the permission sprocket.locations.write; ask the operator of {guarded.served.address} for it"
    )
    assert finished.errors == f"Error: {expected}\n"


def test_tls_with_a_server_that_does_not_speak_it_is_explained(guarded: Guarded) -> None:
    with failing_server() as server:
        options = ["--tls-ca", guarded.path("ca.crt"), "--timeout", "600"]  # which is not waited for
        finished = run("create", "location", *LOCATION, *options, client_server=server.address)
    finished.assert_refused()
    assert finished.errors == f"Error: {server.address} does not speak TLS; leave --tls-ca out\n"


def test_a_key_is_sent_with_every_call_and_never_printed() -> None:
    secret = "sprocket_invented"  # noqa: S105  # as it says  # pragma: allowlist secret
    with failing_server(failure(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")) as server:
        finished = run("create", "location", *LOCATION, client_server=server.address, client_api_key=secret)
    assert server.metadata[0]["authorization"] == f"Bearer {secret}"
    assert secret not in finished.output + finished.errors


# The environment.


def test_the_address_is_that_of_a_server_with_these_settings_unless_another_is_set() -> None:
    for settings, address in (
        ({"listen": "0.0.0.0:1"}, "127.0.0.1:1"),
        ({"listen": "[::]:1"}, "127.0.0.1:1"),
        ({"listen": "127.0.0.1:1", "client_server": "127.0.0.1:2"}, "127.0.0.1:2"),
        ({"client_server": "127.0.0.1:2"}, "127.0.0.1:2"),
    ):
        assert f"Error: {address} does not answer" in run("list", "factories", "--timeout", "1", **settings).errors


def test_a_misspelt_client_variable_is_refused_and_server_variables_are_ignored() -> None:
    finished = run("list", "factories", client_tlsca="x", pool_sise="x")
    expected = "SPROCKET_CLIENT_TLSCA: there is no such setting; did you mean SPROCKET_CLIENT_TLS_CA?"
    assert (finished.status, finished.errors) == (1, f"Error: {expected}\n")


def test_an_incomplete_client_certificate_is_a_usage_error(guarded: Guarded) -> None:
    for arguments in (["--tls-key", "client.key"], ["--tls-certificate", "client.crt", "--tls-key", "client.key"]):
        paths = [each if each.startswith("--") else guarded.path(each) for each in arguments]
        assert guarded.list_factories(*paths).status == 2


# Completion.


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_says_where_to_put_it(shell: str) -> None:
    finished = run("completion", shell)
    assert finished.status == 0
    assert finished.output.startswith("# ")
    assert f"sprocket-grpc completion {shell}" in finished.output.splitlines()[0]
    assert f"_SPROCKET_GRPC_COMPLETE={shell}_complete" in finished.output


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("sprocket-grpc imp", ["import"]),
        ("sprocket-grpc list sprocket", ["sprocket-types", "sprockets"]),
        ("sprocket-grpc create location --pos", ["--postal-code"]),
        ("sprocket-grpc list factories --columns id,disp", ["id,display_name"]),
        ("sprocket-grpc get factory --output j", ["json"]),
    ],
)
def test_bash_completes_commands_resources_fields_and_values(typed: str, completed: list[str]) -> None:
    words = typed.split()
    script = f"""
        source <(sprocket-grpc completion bash)
        COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}
        _sprocket_grpc_completion sprocket-grpc {words[-1]} {words[-2]}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    variables = environment({}) | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, check=True, env=variables, text=True, timeout=PATIENCE_SECONDS
    )
    assert done.stdout.split() == completed
