"""Bearer tokens of an issuer: which are valid, what they grant, and how its keys change."""

import asyncio
import base64
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from sprocket.v1.location_pb2 import CreateLocationRequest, ListLocationsRequest
from sprocket_grpc.auth.jwks import SHORTEST_REFRESH_SECONDS, KeySet
from sprocket_grpc.auth.jwt import WebTokens
from sprocket_grpc.config.settings import Settings
from tests.conformance.promises import refuses
from tests.support.callers import (
    AUDIENCE,
    ISSUER,
    SigningKey,
    bearer,
    key_set,
    signing_key,
)
from tests.support.issuer import issuer
from tests.support.resources import location
from tests.support.service import Service, running_service

UNAUTHENTICATED = (grpc.StatusCode.UNAUTHENTICATED, "ERROR_REASON_UNAUTHENTICATED")
PERMISSION_DENIED = (grpc.StatusCode.PERMISSION_DENIED, "ERROR_REASON_PERMISSION_DENIED")

KEYS = {algorithm: signing_key(algorithm, algorithm) for algorithm in ("RS256", "ES256", "EdDSA")}
KEY = KEYS["ES256"]
LONG_AGO, FAR_AHEAD = 1_000_000_000, 5_000_000_000


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The file with the issuer's keys."""
    file = tmp_path / "keys.json"
    file.write_text(key_set(*KEYS.values()))
    return file


@pytest.fixture
async def guarded(database_url: str, published: Path) -> AsyncIterator[Service]:
    """A server that requires tokens."""
    settings = Settings(jwt_jwks=str(published), jwt_issuer=ISSUER, jwt_audience=AUDIENCE)
    async with running_service(database_url, settings) as running:
        yield running


async def read(service: Service, token: str) -> None:
    await service.locations.ListLocations(ListLocationsRequest(), metadata=bearer(token))


async def write(service: Service, token: str) -> None:
    await service.locations.CreateLocation(CreateLocationRequest(location=location()), metadata=bearer(token))


@pytest.mark.parametrize("algorithm", KEYS)
async def test_a_token_is_valid_with_every_algorithm_that_has_a_public_key(guarded: Service, algorithm: str) -> None:
    await read(guarded, KEYS[algorithm].token())


@pytest.mark.parametrize(
    "claims",
    [
        {"scope": "openid sprocket.write email"},
        {"scope": None, "scp": ["sprocket.write"]},
        {"scope": ["sprocket.read", "sprocket.admin"]},
        {"scope": "", "scp": "sprocket.read sprocket.write"},
        {"aud": ["another", AUDIENCE]},
    ],
    ids=["a text", "a list", "scope as a list", "scp as a text", "several audiences"],
)
async def test_a_token_grants_its_scopes(guarded: Service, claims: dict[str, Any]) -> None:
    await write(guarded, KEY.token(**claims))


async def test_the_log_says_why_a_token_is_not_valid_but_only_to_who_asks(
    guarded: Service, caplog: pytest.LogCaptureFixture
) -> None:
    for level, lines in ((logging.INFO, 0), (logging.DEBUG, 1)):
        caplog.set_level(level, "sprocket_grpc.auth.jwt")
        with pytest.raises(grpc.aio.AioRpcError):
            await read(guarded, KEY.token(aud="another"))
        assert caplog.text.count("a token is not valid: InvalidAudienceError(") == lines


@pytest.mark.parametrize(("claim", "seconds"), [("nbf", 20), ("exp", -1)], ids=["ahead", "behind"])
async def test_a_small_clock_skew_of_the_issuer_is_tolerated(guarded: Service, claim: str, seconds: int) -> None:
    claims: dict[str, Any] = {claim: int(time.time()) + seconds}
    await write(guarded, KEY.token(**claims))


@pytest.mark.parametrize(
    "scope", ["", "openid", "write", "sprocket.writer", "SPROCKET.WRITE", 7, [["sprocket.write"]], None]
)
async def test_a_scope_that_is_not_ours_grants_no_permission(guarded: Service, scope: object) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await read(guarded, KEY.token(scope=scope))
    assert raised.value.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)


async def test_a_token_grants_permissions_of_single_services(guarded: Service) -> None:
    token = KEY.token(scope="sprocket.locations.read sprocket.sprockets.write")
    await read(guarded, token)
    with refuses(*PERMISSION_DENIED) as failure:
        await write(guarded, token)
    assert failure.info.metadata == {"right": "sprocket.locations.write"}


async def test_a_token_is_limited_to_the_factories_in_its_claim(published: Path) -> None:
    tokens = WebTokens(KeySet(str(published)), ISSUER, AUDIENCE)
    for claims, factories in (({}, None), ({"sprocket_factories": []}, set()), ({"sprocket_factories": ["a"]}, {"a"})):
        identity = await tokens.identify(KEY.token(**claims))
        assert identity
        assert identity.factories == factories


@pytest.mark.parametrize("factories", [None, "", "a", 7, {}, [7], [None], [["a"]]], ids=repr)
async def test_a_token_whose_claim_of_factories_is_malformed_is_refused(guarded: Service, factories: object) -> None:
    with refuses(*UNAUTHENTICATED):
        await read(guarded, KEY.token(sprocket_factories=factories))


async def test_a_token_with_read_permission_cannot_write(guarded: Service) -> None:
    await read(guarded, KEY.token(scope="sprocket.read"))
    with refuses(*PERMISSION_DENIED):
        await write(guarded, KEY.token(scope="sprocket.read"))


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def with_header(**header: str) -> str:
    """Return the header and the payload of a token, which precede its signature."""
    return ".".join(encoded(json.dumps(each).encode()) for each in (header, jwt_payload()))


def unsigned() -> str:
    return with_header(alg="none", kid="ES256") + "."


def signed_with_the_public_key() -> str:
    """Return a token that is signed with the public key as if it were a shared secret."""
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = with_header(alg="HS256", kid="RS256")
    digest = hmac.digest(KEYS["RS256"].private.public_key().public_bytes(*form), signed.encode(), "sha256")
    return f"{signed}.{encoded(digest)}"


def jwt_payload() -> dict[str, Any]:
    return dict(jwt.decode(KEY.token(), options={"verify_signature": False}))


WRONG: dict[str, Callable[[], str]] = {
    "another issuer": lambda: KEY.token(iss="https://login.example"),
    "another audience": lambda: KEY.token(aud="sprockets"),
    "expired": lambda: KEY.token(exp=LONG_AGO),
    "not yet valid": lambda: KEY.token(nbf=FAR_AHEAD),
    "no issuer": lambda: KEY.token("iss"),
    "no audience": lambda: KEY.token("aud"),
    "no expiry": lambda: KEY.token("exp"),
    "no subject": lambda: KEY.token("sub"),
    "an empty subject": lambda: KEY.token(sub=""),
    "a subject with a control character": lambda: KEY.token(sub="a\nb"),
    "an infinite expiry": lambda: KEY.token(exp=float("inf")),
    "an unknown key": lambda: signing_key("ES256", "unknown").token(),
    "another key of the same id": lambda: signing_key("ES256", "ES256").token(),
    "the key of another algorithm": lambda: signing_key("RS256", "ES256").token(),
    "no signature": unsigned,
    "a signature with the public key": signed_with_the_public_key,
    "an unknown critical header": lambda: KEY.token(headers={"crit": ["new"], "new": 1}),
    "a deep header": lambda: encoded(b"[" * 3000) + ".e30.e30",
    "a changed claim": lambda: ".".join(
        [*KEY.token().split(".")[:1], KEY.token(sub="eve").split(".")[1], KEY.token().split(".")[2]]
    ),
}


@pytest.mark.parametrize("label", WRONG)
async def test_a_token_that_is_not_right_in_every_way_is_refused(guarded: Service, label: str) -> None:
    with refuses(*UNAUTHENTICATED):
        await read(guarded, WRONG[label]())


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
async def test_a_token_of_the_required_type_is_valid(published: Path, typ: str) -> None:
    tokens = WebTokens(KeySet(str(published)), ISSUER, AUDIENCE, "at+jwt")
    assert await tokens.identify(KEY.token(headers={"typ": typ}))


@pytest.mark.parametrize("typ", ["JWT", "", "logout+jwt", 7, None])
async def test_a_token_of_another_type_is_refused_if_one_is_required(published: Path, typ: object) -> None:
    tokens = WebTokens(KeySet(str(published)), ISSUER, AUDIENCE, "application/at+jwt")
    assert await tokens.identify(KEY.token(headers={"typ": typ})) is None


# How keys change.


def publish(file: Path, content: str) -> None:
    file.write_text(content)


def tokens_of(source: str, clock: list[float]) -> WebTokens:
    return WebTokens(KeySet(source, lambda: clock[0]), ISSUER, AUDIENCE)


async def test_a_new_key_is_loaded_when_it_is_used_and_an_old_one_is_dropped(published: Path) -> None:
    clock, new = [0.0], signing_key("ES256", "new")
    tokens = tokens_of(str(published), clock)
    assert await tokens.identify(KEY.token())
    publish(published, key_set(new))
    assert await tokens.identify(new.token()) is None  # the last refresh was too recent
    clock[0] += SHORTEST_REFRESH_SECONDS
    assert await tokens.identify(new.token())
    assert await tokens.identify(KEY.token()) is None


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "AAAA"}, 7]}', "\x00"]
)
async def test_the_last_valid_keys_stay_in_use_if_new_ones_cannot_be_read(published: Path, content: str) -> None:
    clock = [0.0]
    tokens = tokens_of(str(published), clock)
    assert await tokens.identify(KEY.token())
    publish(published, content)
    clock[0] += SHORTEST_REFRESH_SECONDS
    assert await tokens.identify(signing_key("ES256", "unknown").token()) is None
    assert await tokens.identify(KEY.token())


async def test_concurrent_calls_share_one_https_request_for_the_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
    asked: list[str] = []
    with issuer(tmp_path, {"/keys": (200, key_set(KEY))}, asked) as url:
        tokens = tokens_of(f"{url}/keys", [0.0])
        assert all(await asyncio.gather(*(tokens.identify(KEY.token()) for _ in range(20))))
        unknown: SigningKey = signing_key("ES256", "unknown")
        assert not any(await asyncio.gather(*(tokens.identify(unknown.token()) for _ in range(20))))
    assert asked == ["/keys"]


async def test_no_redirect_is_followed_and_no_stranger_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    pages = {"/old": (302, "/keys"), "/keys": (200, key_set(KEY))}
    with issuer(tmp_path, pages, asked) as url:
        assert await tokens_of(f"{url}/keys", [0.0]).identify(KEY.token()) is None
        assert asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
        assert await tokens_of(f"{url}/old", [0.0]).identify(KEY.token()) is None
    assert asked == ["/old"]
