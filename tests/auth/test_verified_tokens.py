"""A token is verified once, and the oldest of too many is verified again."""

from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest

from sprocket_grpc.auth import jwt
from sprocket_grpc.auth.jwks import KeySet
from sprocket_grpc.auth.jwt import WebTokens
from tests.support.callers import AUDIENCE, ISSUER, key_set, signing_key

KEY = signing_key("ES256")


async def test_the_most_recent_tokens_are_verified_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwt, "_MOST_VERIFIED", 2)
    (tmp_path / "keys.json").write_text(key_set(KEY))
    tokens = WebTokens(KeySet(str(tmp_path / "keys.json")), ISSUER, AUDIENCE)
    verified: list[str] = []
    decode = pyjwt.decode

    def count(token: str, *arguments: Any, **options: Any) -> Any:
        verified.append(token)
        return decode(token, *arguments, **options)

    monkeypatch.setattr(pyjwt, "decode", count)
    first, second, third = (KEY.token(sub=name) for name in ("first", "second", "third"))
    for token in (first, first, second, third, third, second, first):
        assert await tokens.identify(token)
    assert verified == [first, second, third, first]
