"""The commands that `serve` prints have the options that its settings make necessary."""

import shlex

import pytest

from sprocket_grpc.cli.banner import banner
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.server.run import Started

IPV6 = "[::1]:50051"
TLS = {"tls_certificate": "tls.crt", "tls_key": "tls.key"}


@pytest.mark.parametrize(
    ("settings", "of_every_call", "of_calls_of_methods"),
    [
        ({}, "", ""),
        ({"api_keys": True}, "", " --api-key-file FILE"),
        ({"jwt_jwks": "keys.json", "jwt_issuer": "I", "jwt_audience": "A"}, "", " --api-key-file FILE"),
        (TLS, " --tls-ca CA", ""),
        (TLS | {"tls_client_ca": "ca.crt"}, " --tls-ca CA --tls-certificate CERTIFICATE --tls-key KEY", ""),
    ],
    ids=["no authentication", "API keys", "tokens", "TLS", "client certificates"],
)
def test_the_commands_have_the_options_that_the_server_requires(
    settings: dict[str, object], of_every_call: str, of_calls_of_methods: str, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = Settings.model_validate(settings | {"listen": "127.0.0.1:50051"})
    banner(loaded, "postgresql://127.0.0.1/sprockets")(Started(50051, None, None, None))
    lines = capsys.readouterr().out.splitlines()
    client = f"--server 127.0.0.1:50051{of_every_call}"
    assert f"  sprocket-grpc health {client}" in lines
    assert f"  sprocket-grpc list factories {client}{of_calls_of_methods}" in lines
    assert f"  sprocket-grpc demo 'Factory 1' {client}{of_calls_of_methods}" in lines


def test_shells_do_not_expand_the_brackets_of_an_ipv6_address(capsys: pytest.CaptureFixture[str]) -> None:
    banner(Settings(listen=IPV6), "postgresql://127.0.0.1/sprockets")(Started(50051, None, None, None))
    commands = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert len(commands) == 4
    assert all(IPV6 in shlex.split(each) and f"'{IPV6}'" in each for each in commands)


@pytest.mark.parametrize(
    ("settings", "options", "scheme"),
    [
        ({}, "", "http"),
        ({"api_keys": True}, " -H 'authorization: Bearer KEY'", "http"),
        (TLS, " --cacert CA", "https"),
    ],
    ids=["no authentication", "API keys", "TLS"],
)
def test_curl_calls_the_web_listener_with_the_options_that_it_requires(
    settings: dict[str, object], options: str, scheme: str, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = Settings.model_validate(settings | {"web_listen": "[::1]:8080"})
    banner(loaded, "postgresql://127.0.0.1/sprockets")(Started(50051, None, None, None, 8081))
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  curl")]
    url = f"{scheme}://[::1]:8081/sprocket.v1.FactoryService/ListFactories"
    assert line.startswith(f"  curl{options} --json '{{}}' ")
    assert shlex.split(line)[-1] == url
    assert f"'{url}'" in line  # shells expand brackets
