"""How channels of both clients connect, and what they send with each call."""

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

_KEEPALIVE_MS = 15_000

CONNECTION_OPTIONS: Sequence[tuple[str, Any]] = (
    # By default gRPC waits up to two minutes before it reconnects to a server that was unavailable, and 20 s for one
    # that accepts the connection and does not answer.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    # So that a stream ends within 30 s after its connection was cut without notice. The server permits 10 s.
    # Pings of gRPC itself, while data arrives, have a timeout of their own: 60 s by default.
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_MS),
    ("grpc.http2.ping_timeout_ms", _KEEPALIVE_MS),
    ("grpc.http2.max_pings_without_data", 0),
)
"""How soon a lost connection is noticed, and opened again."""


def channel_options() -> Sequence[tuple[str, Any]]:
    """Return the options of channels: how calls are distributed, and how connections are kept.

    The retry policies are left out: the client retries, and gRPC would tell it of an outage 15 s later.
    """
    config = json.loads((resources.files("sprocket.v1") / "service_config.json").read_text())
    for methods in config["methodConfig"]:
        methods.pop("retryPolicy", None)
    return [("grpc.service_config", json.dumps(config)), *CONNECTION_OPTIONS]


def credentials_metadata(api_key: str | None) -> Sequence[tuple[str, str]]:
    """Return the metadata that authenticates a call."""
    return [("authorization", f"Bearer {api_key}")] if api_key else []
