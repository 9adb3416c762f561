"""Client certificates: which of their names identify a caller, and that no name passes for one of another kind."""

from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from cryptography.x509 import DNSName, GeneralName, RFC822Name, UniformResourceIdentifier

from sprocket.v1.location_pb2 import CreateLocationRequest, ListLocationsRequest
from sprocket_grpc.auth import mtls
from sprocket_grpc.auth.mtls import Certificates
from sprocket_grpc.config.settings import SettingsError
from tests.conformance.promises import refuses
from tests.support.callers import certificate
from tests.support.mutual_tls import mutual, showing
from tests.support.resources import location
from tests.support.service import Service

ROOT = certificate("root")
ADMIN = "spiffe://example/admin"
URI, DNS = UniformResourceIdentifier("spiffe://example/b"), DNSName("b.example")
PERMISSION_DENIED = (grpc.StatusCode.PERMISSION_DENIED, "ERROR_REASON_PERMISSION_DENIED")
UNAUTHENTICATED = (grpc.StatusCode.UNAUTHENTICATED, "ERROR_REASON_UNAUTHENTICATED")


async def read(service: Service) -> None:
    await service.locations.ListLocations(ListLocationsRequest(), timeout=30)


async def write(service: Service) -> None:
    await service.locations.CreateLocation(CreateLocationRequest(location=location()), timeout=30)


def principal(common_name: str, *names: GeneralName, common_names: bool = False) -> str | None:
    """Return the principal of a certificate with these names."""
    identity = Certificates({}, common_names=common_names).identify(certificate(common_name, [*names], ROOT).pem)
    return identity.principal if identity else None


@pytest.mark.parametrize(
    ("names", "identity"),
    [([DNS, URI], "uri:spiffe://example/b"), ([DNS], "dns:b.example"), ([], "cn:The B")],
    ids=["URI", "DNS", "common name"],
)
async def test_a_client_has_the_identity_of_its_certificate_and_the_permission_of_the_setting(
    database_url: str, tmp_path: Path, names: list[GeneralName], identity: str
) -> None:
    shown = showing(ROOT, certificate("The B", names, ROOT))
    settings: dict[str, object] = {"tls_client_common_names": True, "tls_client_rights": f"{identity}=read"}
    async with mutual(database_url, tmp_path, ROOT, shown, **settings) as service:
        await read(service)
        with refuses(*PERMISSION_DENIED):
            await write(service)
    async with mutual(database_url, tmp_path, ROOT, shown, tls_client_rights="dns:another=admin") as service:
        with refuses(*(PERMISSION_DENIED if names else UNAUTHENTICATED)):
            await read(service)


@pytest.mark.parametrize(
    ("common_name", "names"),
    [(ADMIN, [DNS]), (ADMIN, []), ("b", [DNSName(ADMIN)]), ("b", [UniformResourceIdentifier(f"{ADMIN}\0.example")])],
    ids=["common name behind a DNS name", "common name alone", "DNS name", "URI with NUL"],
)
async def test_no_name_passes_for_a_uri(
    database_url: str, tmp_path: Path, common_name: str, names: list[GeneralName]
) -> None:
    shown = showing(ROOT, certificate(common_name, names, ROOT))
    async with mutual(database_url, tmp_path, ROOT, shown, tls_client_rights=f"uri:{ADMIN}=admin") as service:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await read(service)
        # OpenSSL and its like refuse some of these certificates themselves.
        assert raised.value.code() in {each[0] for each in (PERMISSION_DENIED, UNAUTHENTICATED)} | {
            grpc.StatusCode.UNAVAILABLE
        }


async def test_a_client_can_have_permissions_of_single_services(database_url: str, tmp_path: Path) -> None:
    shown = showing(ROOT, certificate("b", [URI], ROOT))
    permissions = "uri:spiffe://example/b=locations.read,sprockets.write"
    async with mutual(database_url, tmp_path, ROOT, shown, tls_client_rights=permissions) as service:
        await read(service)
        with refuses(*PERMISSION_DENIED):
            await write(service)


async def test_a_permission_that_does_not_exist_is_reported_at_the_start(database_url: str, tmp_path: Path) -> None:
    shown = showing(ROOT, certificate("b", [URI], ROOT))
    with pytest.raises(SettingsError, match=r"^SPROCKET_TLS_CLIENT_RIGHTS: expected permissions among read, write, "):
        async with mutual(database_url, tmp_path, ROOT, shown, tls_client_rights="dns:a=sproket.read"):
            pass


def test_principals_keep_the_kind_of_their_name() -> None:
    assert principal("The B", URI, DNS) == "mtls:uri:spiffe://example/b"
    assert principal("The B", DNS, DNSName("c.example")) == "mtls:dns:b.example"
    assert principal("The B", common_names=True) == "mtls:cn:The B"
    assert principal(ADMIN, common_names=True) == f"mtls:cn:{ADMIN}"


def test_a_common_name_identifies_no_caller_unless_the_setting_says_so() -> None:
    assert principal("The B") is None
    assert principal("The B", RFC822Name("b@example.com")) is None


@pytest.mark.parametrize(
    ("common_name", "names"),
    [
        ("b", [URI, UniformResourceIdentifier(ADMIN)]),
        ("b", [URI, URI]),
        ("b", [UniformResourceIdentifier(f"{ADMIN}\0x")]),
        ("b", [DNSName("a.example\0.b.example")]),
        ("b", [URI, DNSName("b\0")]),
        ("b\0c", [URI]),
        ("b", [UniformResourceIdentifier("")]),
        ("b", [UniformResourceIdentifier("spiffe://" + "b" * 255)]),
        ("b", [DNSName("a\nb")]),
    ],
    ids=[
        *("two URIs", "a URI twice", "URI with NUL", "DNS with NUL", "another name with NUL", "CN with NUL"),
        *("empty", "long", "line break"),
    ],
)
def test_an_ambiguous_certificate_identifies_no_caller(common_name: str, names: list[GeneralName]) -> None:
    assert principal(common_name, *names) is None
    assert principal(common_name, *names, common_names=True) is None


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_certificate_that_cannot_be_parsed_identifies_no_caller(content: bytes) -> None:
    assert Certificates({}).identify(content) is None


def test_a_certificate_that_expires_on_an_open_connection_identifies_no_caller() -> None:
    assert Certificates({}).identify(certificate("b", [URI], ROOT, timedelta(hours=-1)).pem) is None


def test_a_certificate_is_parsed_once_and_few_are_kept() -> None:
    mtls._parse.cache_clear()
    pem = certificate("b", [URI], ROOT).pem
    for _ in range(10):
        assert Certificates({}).identify(pem)
    assert mtls._parse.cache_info().misses == 1
    for number in range(1100):
        Certificates({}).identify(pem + b"\n" * number)
    assert mtls._parse.cache_info().currsize == 1024
