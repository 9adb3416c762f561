"""Commands to copy reach the same server from another terminal, whatever the names of files are."""

import shlex
from pathlib import Path

import pytest

from sprocket_grpc.cli.client.connection import Connection
from sprocket_grpc.cli.copying import client_command

KEY = "sprocket_00_11"  # not a key of any server  # pragma: allowlist secret
NASTY = ["it's a key", "$(reboot)", "`x`", 'a "b"', "-leading", "back\\slash", "字 🏭", "new\nline", "*?[x]"]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPROCKET_LISTEN", "SPROCKET_CLIENT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.argv", ["sprocket-grpc"])


def test_a_command_has_the_options_of_the_connection_with_absolute_paths() -> None:
    connection = Connection("h.example:1", Path("ca.crt"), Path("tls.crt"), Path("tls.key"), Path("key"), insecure=True)
    paths = {"tls-ca": "ca.crt", "tls-certificate": "tls.crt", "tls-key": "tls.key", "api-key-file": "key"}
    options = [word for name, path in paths.items() for word in (f"--{name}", str(Path.cwd() / path))]
    words = shlex.split(client_command(connection, "chart", "ID", "--follow"))
    assert words == ["sprocket-grpc", "chart", "ID", "--follow", "--server", "h.example:1", *options, "--insecure"]


def test_the_server_of_the_variables_of_this_terminal_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Connection(None, None, None, None, None)
    assert client_command(own, "chart", "ID") == "sprocket-grpc chart ID --server 127.0.0.1:50051"
    monkeypatch.setenv("SPROCKET_LISTEN", "[::1]:7000")
    assert client_command(own, "chart", "ID") == "sprocket-grpc chart ID --server '[::1]:7000'"


def test_a_key_in_a_variable_is_not_shown_but_its_file_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPROCKET_CLIENT_API_KEY", KEY)
    command = client_command(Connection("h.example:1", None, None, None, None), "chart", "ID")
    assert command == "sprocket-grpc chart ID --server h.example:1 --api-key-file FILE"


@pytest.mark.parametrize("name", NASTY)
def test_a_shell_reads_what_was_meant(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("/tmp") / name / "sprocket-grpc"  # noqa: S108  # nothing is written there
    monkeypatch.setattr("sys.argv", [str(path)])
    command = client_command(Connection("h:1", None, None, None, Path("/") / name), "chart", name)
    assert shlex.split(command) == [str(path), "chart", name, "--server", "h:1", "--api-key-file", f"/{name}"]


def test_a_path_of_the_program_holds_in_any_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [".venv/bin/sprocket-grpc"])
    [program, *_] = shlex.split(client_command(Connection("h.example:1", None, None, None, None), "chart", "ID"))
    assert program == str(Path.cwd() / ".venv/bin/sprocket-grpc")
