"""Prints the gRPC service config for clients; `make generate` writes it to a file.

A client with this default service config needs no code of its own for retries, deadlines and load balancing. The format
is the JSON of the gRPC project's grpc.service_config.ServiceConfig.
"""

import json
from collections.abc import Iterable
from enum import Enum

import click
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from sprocket_grpc.contract import FILES

# Retries after about 0.2, 0.8, 2.6 and 7.6 s: fast if another replica is available, long enough for one to restart.
_RETRY = {
    "maxAttempts": 5,
    "initialBackoff": "0.2s",
    "maxBackoff": "5s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


class Kind(Enum):
    """A kind of method, which determines its retries and its deadline."""

    READ = "read"
    STREAM = "stream"
    WRITE = "write"


_CONFIG: dict[Kind, dict[str, object]] = {
    Kind.READ: {"timeout": "10s", "retryPolicy": _RETRY},
    # No deadline: following a chart has no end. After an error, the client resumes the stream with its resume_token.
    Kind.STREAM: {"retryPolicy": _RETRY},
    # No retries: the first attempt of a write may have succeeded. The caller decides, and has the request_id to retry.
    Kind.WRITE: {"timeout": "30s"},
}


def kind_of(method: MethodDescriptor) -> Kind:
    """Return the kind of a method, from the idempotency level in the contract."""
    if method.GetOptions().idempotency_level != MethodOptions.NO_SIDE_EFFECTS:
        return Kind.WRITE
    return Kind.STREAM if method.server_streaming else Kind.READ


def service_config() -> dict[str, object]:
    """Return the service config of all services of the contract."""
    services = [service for file in FILES for service in file.services_by_name.values()]
    methods = [method for service in services for method in service.methods]
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": ""},  # the server as a whole: one channel serves all services
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},  # limits retries during an outage
        "methodConfig": [_method_config(kind, methods) for kind in Kind],
    }


def _method_config(kind: Kind, methods: Iterable[MethodDescriptor]) -> dict[str, object]:
    names = [
        {"service": method.containing_service.full_name, "method": method.name}
        for method in methods
        if kind_of(method) is kind
    ]
    return {"name": names, **_CONFIG[kind]}


if __name__ == "__main__":
    click.echo(json.dumps(service_config(), indent=2))
