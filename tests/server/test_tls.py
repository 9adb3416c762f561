"""TLS: renewed certificates, client certificates, health checks without TLS, and production."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import DNSName

from sprocket.v1.location_pb2 import CreateLocationRequest, ListLocationsRequest
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.server import tls
from sprocket_grpc.server.tls import TlsError, TlsFiles, load_tls
from tests.support.callers import Certificate, bearer, certificate, create_key, server_certificate
from tests.support.command_line import run, serving
from tests.support.errors import fails
from tests.support.mutual_tls import mutual, showing
from tests.support.resources import location
from tests.support.service import Service, running_service

ROOT, OTHER_ROOT = certificate("root"), certificate("other root")
PATIENCE_SECONDS = 15
TRUSTING = grpc.ssl_channel_credentials(ROOT.pem)


async def read(service: Service) -> None:
    await service.locations.ListLocations(ListLocationsRequest(), timeout=10)


async def write(service: Service) -> None:
    await service.locations.CreateLocation(CreateLocationRequest(location=location()), timeout=10)


@asynccontextmanager
async def connected(service: Service, root: Certificate) -> AsyncIterator[grpc.aio.Channel]:
    """Open a new connection that trusts one root certificate."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    credentials = grpc.ssl_channel_credentials(root.pem)
    async with grpc.aio.secure_channel(service.address, credentials, options) as channel:
        yield channel


async def answers(service: Service, root: Certificate) -> bool:
    """Whether a new connection gets a certificate that this root has signed."""
    async with connected(service, root) as channel:
        try:
            await asyncio.wait_for(channel.channel_ready(), 30)
        except TimeoutError:
            return False
        return True


# The certificate of the server.


async def test_a_renewed_certificate_is_shown_without_a_restart_and_a_broken_one_is_not(
    database_url: str, tmp_path: Path
) -> None:
    settings = Settings.model_validate(server_certificate(ROOT).write(tmp_path))
    async with running_service(database_url, settings, TRUSTING) as service:
        await read(service)
        server_certificate(OTHER_ROOT).write(tmp_path)
        assert await answers(service, OTHER_ROOT)
        (tmp_path / "tls.key").write_bytes(server_certificate(ROOT).key_pem)  # for another certificate
        assert await answers(service, OTHER_ROOT)
        (tmp_path / "tls.crt").unlink()
        assert await answers(service, OTHER_ROOT)
        server_certificate(ROOT).write(tmp_path)
        assert await answers(service, ROOT)
        await read(service)  # on the existing connection


@pytest.mark.parametrize("broken", ["tls_certificate", "tls_key", "tls_client_ca"])
def test_invalid_files_are_reported_with_their_setting(tmp_path: Path, broken: str) -> None:
    files = server_certificate(ROOT).write(tmp_path) | {"tls_client_ca": tmp_path / "ca.crt"}
    files["tls_client_ca"].write_bytes(ROOT.pem)
    assert load_tls(Settings.model_validate(files))
    files[broken].write_text("nonsense")
    with pytest.raises(TlsError, match=f"^SPROCKET_{broken.upper()}: expected "):
        load_tls(Settings.model_validate(files))
    files[broken].unlink()
    with pytest.raises(TlsError, match=rf"^SPROCKET_{broken.upper()}: .*No such file"):
        load_tls(Settings.model_validate(files))


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    files = server_certificate(ROOT).write(tmp_path)
    files["tls_key"].write_bytes(server_certificate(ROOT).key_pem)
    with pytest.raises(TlsError, match=r"^SPROCKET_TLS_KEY: expected the key of "):
        load_tls(Settings.model_validate(files))


# What handshakes cost.


class Parses:
    """Counts how often a certificate or a key is parsed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counted = 0
        for module, function in (
            (x509, "load_pem_x509_certificates"),
            (serialization, "load_pem_private_key"),
        ):
            monkeypatch.setattr(module, function, self._counting(getattr(module, function)))

    def _counting(self, parse: Callable[..., Any]) -> Callable[..., Any]:
        def count(*arguments: Any, **options: Any) -> Any:
            self.counted += 1
            return parse(*arguments, **options)

        return count


async def shake_hands(service: Service, root: Certificate, times: int = 20) -> None:
    """Open connections one after the other and four at a time."""
    for _ in range(times // 4):
        assert all(await asyncio.gather(*(answers(service, root) for _ in range(4))))


async def test_handshakes_parse_a_content_once_whether_it_is_valid_or_not(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = server_certificate(ROOT).write(tmp_path)
    async with running_service(database_url, Settings.model_validate(files), TRUSTING) as service:
        parses = Parses(monkeypatch)
        await shake_hands(service, ROOT)
        assert parses.counted == 0
        renewed = server_certificate(OTHER_ROOT)
        files["tls_certificate"].write_bytes(renewed.pem)  # the key follows later
        await shake_hands(service, ROOT)
        assert parses.counted == 1
        files["tls_key"].write_text("not yet a key")
        await shake_hands(service, ROOT)
        assert parses.counted == 2
        files["tls_key"].write_bytes(renewed.key_pem)
        await shake_hands(service, OTHER_ROOT)
        assert parses.counted == 3
        files["tls_key"].unlink()
        await shake_hands(service, OTHER_ROOT)
        assert parses.counted == 3


def test_handshakes_that_find_renewed_files_together_parse_them_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = server_certificate(ROOT).write(tmp_path)
    files = TlsFiles(paths["tls_certificate"], paths["tls_key"], None)
    server_certificate(ROOT).write(tmp_path)
    began, may_end, parsed = threading.Event(), threading.Event(), []

    def check(found: object) -> None:
        parsed.append(found)
        began.set()
        may_end.wait(PATIENCE_SECONDS)

    monkeypatch.setattr(tls, "_check", check)
    handshakes = [threading.Thread(target=files._renewed, daemon=True) for _ in range(2)]
    handshakes[0].start()
    assert began.wait(PATIENCE_SECONDS)
    handshakes[1].start()
    handshakes[1].join(0.2)  # as long as it takes to find the same files
    may_end.set()
    for handshake in handshakes:
        handshake.join(PATIENCE_SECONDS)
    assert len(parsed) == 1


async def test_each_problem_of_renewed_files_is_reported_once(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    valid = server_certificate(ROOT)
    files = valid.write(tmp_path)
    async with running_service(database_url, Settings.model_validate(files), TRUSTING) as service:
        for _ in range(2):  # the second time after the file was valid again
            files["tls_key"].write_text("nonsense")
            await shake_hands(service, ROOT, 8)
            files["tls_key"].write_bytes(valid.key_pem)
            await shake_hands(service, ROOT, 8)
    assert caplog.text.count("SPROCKET_TLS_KEY: expected a private key") == 2


# Client certificates.


DNS = DNSName("b.example")


async def test_a_client_with_a_foreign_certificate_or_none_gets_no_connection(
    database_url: str, tmp_path: Path
) -> None:
    for shown in (TRUSTING, showing(ROOT, certificate("b.example", [DNS], OTHER_ROOT))):
        async with mutual(database_url, tmp_path, ROOT, shown, tls_client_rights="dns:b.example=admin") as service:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await read(service)
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_an_api_key_takes_precedence_over_the_client_certificate(database_url: str, tmp_path: Path) -> None:
    shown = showing(ROOT, certificate("b.example", [DNS], ROOT))
    settings: dict[str, object] = {"api_keys": True, "tls_client_rights": "dns:b.example=read"}
    async with mutual(database_url, tmp_path, ROOT, shown, **settings) as service:
        request = CreateLocationRequest(location=location())
        await service.locations.CreateLocation(request, metadata=bearer(create_key(database_url, "write").text))
        with fails(grpc.StatusCode.UNAUTHENTICATED):
            await service.locations.ListLocations(ListLocationsRequest(), metadata=bearer("nonsense"))
        await read(service)


# Health checks, and production.


def assert_has_not(channel: Any, method: str) -> None:  # its types do not allow bytes
    """Check that a server does not have a method."""
    with pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary(method)(b"")
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_server_in_production_answers_health_checks_with_and_without_tls(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(ROOT.pem)
    files = {name: str(path) for name, path in server_certificate(ROOT).write(tmp_path).items()}
    keys = {"api_keys": "true"}  # pragma: allowlist secret
    settings = {"environment": "production", "database_url": database_url, **keys, **files}
    with serving(health_listen="127.0.0.1:0", **settings) as served:
        [line] = [line for line in served.lines if line.startswith("health checks without TLS on ")]
        for arguments in (
            ["--server", line.rpartition(" ")[2]],
            ["--server", served.address, "--tls-ca", str(tmp_path / "ca.crt")],
        ):
            finished = run("health", *arguments)
            assert (finished.status, finished.output) == (0, "SERVING\n"), finished
        assert run("health", "--server", served.address).status == 1
        with grpc.insecure_channel(line.rpartition(" ")[2]) as channel:
            assert_has_not(channel, "/sprocket.v1.LocationService/ListLocations")
        with grpc.secure_channel(served.address, TRUSTING) as channel:
            assert_has_not(channel, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    assert "--tls-ca" in run("health", **settings).errors


def test_production_refuses_all_that_is_not_safe_at_once(tmp_path: Path) -> None:
    anywhere = "0.0.0.0:0"  # nothing is bound
    finished = run("serve", environment="production", listen=anywhere, embedded_directory=str(tmp_path / "data"))
    finished_lines = finished.errors.removeprefix("Error: ").splitlines()
    assert finished.status == 1
    assert [line.split()[0].rstrip(":,") for line in finished_lines] == [
        "SPROCKET_DATABASE_URL",
        "SPROCKET_API_KEYS",
        "SPROCKET_TLS_CERTIFICATE",
    ]
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", [["seed"], ["migrate"], ["api-key", "list"]], ids=" ".join)
def test_production_has_no_embedded_database(tmp_path: Path, command: list[str]) -> None:
    finished = run(*command, environment="production", embedded_directory=str(tmp_path / "data"))
    finished.assert_refused()
    assert not (tmp_path / "data").exists()


def test_seed_is_refused_in_production(database_url: str) -> None:
    finished = run("seed", environment="production", database_url=database_url)
    assert (
        finished.errors == "Error: SPROCKET_ENVIRONMENT: expected development; sample data is not added in production\n"
    )
