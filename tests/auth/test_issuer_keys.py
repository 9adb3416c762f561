"""The keys of an issuer: which are used, and that no issuer and no token keeps the server from its work."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt import PyJWK
from jwt.algorithms import ECAlgorithm

from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket_grpc.auth import jwks, jwks_source
from sprocket_grpc.auth.jwks import KeySet
from sprocket_grpc.auth.jwks_source import load_keys
from sprocket_grpc.config.settings import Settings
from tests.conformance.promises import refuses
from tests.support.callers import AUDIENCE, ISSUER, Metadata, SigningKey, bearer, create_key, key_set, signing_key
from tests.support.issuer import dripping_issuer
from tests.support.service import Service, running_service
from tests.support.waiting import until

PATIENCE_SECONDS = 60
UNAUTHENTICATED = (grpc.StatusCode.UNAUTHENTICATED, "ERROR_REASON_UNAUTHENTICATED")
KEY = signing_key("ES256", "good")

Keys = dict[str | None, PyJWK]


def weak_rsa() -> dict[str, Any]:
    return SigningKey("RS256", "weak", rsa.generate_private_key(65537, 1024)).published()  # noqa: S505


def other_curve() -> dict[str, Any]:
    return SigningKey("ES256", "weak", ec.generate_private_key(ec.SECP384R1())).published()


def private_key() -> dict[str, Any]:
    return {**ECAlgorithm.to_jwk(signing_key("ES256").private, as_dict=True), "kid": "weak"}


WEAK: dict[str, Callable[[], dict[str, Any]]] = {
    "RSA of 1,024 bits": weak_rsa,
    "another curve": other_curve,
    "a private key": private_key,
    "a kid that is a number": lambda: {**signing_key("ES256").published(), "kid": 7},
    "a kid that is an object": lambda: {**signing_key("ES256").published(), "kid": {"weak": []}},
}


@pytest.mark.parametrize("label", WEAK)
def test_a_weak_key_is_not_used_and_the_log_names_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, label: str
) -> None:
    weak = WEAK[label]()
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [weak, KEY.published()]}))
    assert list(load_keys(str(tmp_path / "keys.json"))) == ["good"]
    assert f"the key {weak['kid']!r} is not used: expected " in caplog.text


def test_a_key_for_encryption_is_not_used(tmp_path: Path) -> None:
    other = {**signing_key("ES256", "other").published(), "use": "enc"}
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [other, KEY.published()]}))
    assert list(load_keys(str(tmp_path / "keys.json"))) == ["good"]


def test_an_rsa_key_of_2048_bits_is_used(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(key_set(signing_key("RS256", "long enough")))
    assert list(load_keys(str(tmp_path / "keys.json"))) == ["long enough"]


@pytest.mark.parametrize("broken", [json.dumps({"keys": [{**KEY.published(), "kid": []}]}), None], ids=["kid", "error"])
async def test_nothing_that_is_published_ends_the_upkeep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str | None
) -> None:
    file, loads = tmp_path / "keys.json", 0

    def load(source: str) -> Keys:
        nonlocal loads
        loads += 1
        if not broken and loads < 3:
            raise RuntimeError("unexpected")
        return load_keys(source)

    monkeypatch.setattr(jwks, "load_keys", load)
    monkeypatch.setattr(jwks, "REFRESH_SECONDS", 0.01)
    file.write_text(broken or key_set(KEY))
    keys = KeySet(str(file))
    upkeep = asyncio.create_task(keys.maintain())
    await until(lambda: loads >= 3)
    file.write_text(key_set(KEY))

    async def is_found() -> bool:
        return await keys.find("good") is not None

    await until(is_found)
    assert not upkeep.done()
    upkeep.cancel()


async def test_calls_that_have_waited_for_a_refresh_make_room_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "MOST_WAITING", 1)
    monkeypatch.setattr(jwks, "SHORTEST_REFRESH_SECONDS", 0)
    (tmp_path / "keys.json").write_text(key_set(KEY))
    keys = KeySet(str(tmp_path / "keys.json"))
    for _ in range(3):
        assert await keys.find("unknown") is None


@pytest.mark.parametrize(
    ("first", "speaks_tls"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{", True),
        (b"HTTP/1.1 200 OK\r\nX: ", True),
        (b"\x16\x03\x03\x40\x00\x02", False),
    ],
    ids=["body", "headers", "handshake"],
)
def test_an_issuer_that_sends_a_byte_at_a_time_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bytes, *, speaks_tls: bool
) -> None:
    monkeypatch.setattr(jwks_source, "FETCH_SECONDS", 1)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
    with dripping_issuer(tmp_path, first, speaks_tls=speaks_tls) as url:
        began = time.monotonic()
        with pytest.raises(OSError, match="timed out"):
            load_keys(url)
    assert time.monotonic() - began < 30


def test_an_issuer_that_accepts_a_connection_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks_source, "FETCH_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        fetching = threading.Thread(target=given_up, args=[f"https://127.0.0.1:{silent.getsockname()[1]}"], daemon=True)
        fetching.start()
        fetching.join(15)
    assert not fetching.is_alive()


def given_up(url: str) -> None:
    with pytest.raises(OSError, match="timed out"):
        load_keys(url)


class Slow:
    """Loads keys when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loads = 0
        self.may_end = threading.Event()
        monkeypatch.setattr(jwks, "load_keys", self._load)

    def _load(self, _source: str) -> Keys:
        self.loads += 1
        assert self.may_end.wait(PATIENCE_SECONDS)
        return {"good": PyJWK(KEY.published())}


async def list_locations(service: Service, metadata: Metadata) -> grpc.StatusCode:
    try:
        await service.locations.ListLocations(ListLocationsRequest(), metadata=metadata, timeout=PATIENCE_SECONDS)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_made_up_key_ids_do_not_keep_others_from_calling(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, made_up = Slow(monkeypatch), bearer(signing_key("ES256", "made up").token())
    settings = Settings(
        api_keys=True,
        concurrency_limit=jwks.MOST_WAITING + 1,
        jwt_jwks="https://login.example",
        jwt_issuer=ISSUER,
        jwt_audience=AUDIENCE,
    )
    async with running_service(database_url, settings) as service:
        calls = [asyncio.create_task(list_locations(service, made_up)) for _ in range(jwks.MOST_WAITING + 10)]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE_SECONDS)  # all others wait
        key = bearer(create_key(database_url, "read").text)
        async with asyncio.timeout(PATIENCE_SECONDS):  # those that are refused take a moment to end
            while await list_locations(service, key) is not grpc.StatusCode.OK:
                pass
        slow.may_end.set()
        codes = await asyncio.gather(*calls)
        with refuses(*UNAUTHENTICATED):
            await service.locations.ListLocations(ListLocationsRequest(), metadata=made_up)
    assert codes.count(grpc.StatusCode.UNAUTHENTICATED) == jwks.MOST_WAITING
    assert codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == 10
    assert slow.loads == 1


async def test_a_cancelled_call_does_not_cancel_the_fetch_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, keys = Slow(monkeypatch), KeySet("keys.json")
    first, *others = (asyncio.create_task(keys.find("good")) for _ in range(5))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    slow.may_end.set()
    assert all(await asyncio.gather(*others))
    assert slow.loads == 1


async def test_a_server_has_the_keys_before_its_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, keys = Slow(monkeypatch), KeySet("keys.json")
    slow.may_end.set()
    await keys.prepare()
    assert slow.loads == 1


async def test_a_server_starts_although_its_issuer_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "_PREPARE_SECONDS", 0.01)
    slow, keys = Slow(monkeypatch), KeySet("keys.json")
    await asyncio.wait_for(keys.prepare(), PATIENCE_SECONDS / 2)
    slow.may_end.set()
    assert await keys.find("good")
    assert slow.loads == 1


async def test_a_known_key_is_found_while_a_fetch_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, clock = Slow(monkeypatch), [0.0]
    keys = KeySet("keys.json", lambda: clock[0])
    slow.may_end.set()
    assert await keys.find("good")
    slow.may_end.clear()
    clock[0] += jwks.SHORTEST_REFRESH_SECONDS
    unknown = asyncio.create_task(keys.find("unknown"))
    await asyncio.sleep(0)
    assert await asyncio.wait_for(keys.find("good"), PATIENCE_SECONDS)
    assert not unknown.done()
    slow.may_end.set()
    assert await unknown is None


async def test_a_fetch_that_never_ends_is_given_up_and_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "_REFRESH_TIMEOUT_SECONDS", 0.01)
    slow, clock = Slow(monkeypatch), [0.0]
    keys = KeySet("keys.json", lambda: clock[0])
    assert await asyncio.wait_for(keys.find("good"), PATIENCE_SECONDS) is None
    slow.may_end.set()
    monkeypatch.setattr(jwks, "_REFRESH_TIMEOUT_SECONDS", PATIENCE_SECONDS)
    clock[0] += jwks.SHORTEST_REFRESH_SECONDS
    assert await keys.find("good")
