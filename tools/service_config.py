"""Prints what a gRPC client should know before it calls, as a service config: `make generate` keeps it in a file.

A client that is given this as its default service config needs no code of its own for retries, deadlines, and the
choice among replicas. The format is grpc.service_config.ServiceConfig of the gRPC project, in JSON.
"""

import json
from collections.abc import Iterable
from enum import Enum

import click
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from sprocket_grpc.server.contract import FILES

# Attempts after some 0.2, 0.8, 2.6 and 7.6 s: quick when another replica is there, and long enough for one to restart.
_RETRY = {
    "maxAttempts": 5,
    "initialBackoff": "0.2s",
    "maxBackoff": "5s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


class Kind(Enum):
    """What counts about a method: what happens when it is called twice, and how long an answer may take."""

    READ = "read"
    STREAM = "stream"
    WRITE = "write"


_CONFIG: dict[Kind, dict[str, object]] = {
    Kind.READ: {"timeout": "10s", "retryPolicy": _RETRY},
    # No deadline: following a chart has no end. One that breaks is continued by the client, with its resume_token.
    Kind.STREAM: {"retryPolicy": _RETRY},
    # No retries: what to do about a write that may have taken effect is for the caller, who has the request_id.
    Kind.WRITE: {"timeout": "30s"},
}


def kind_of(method: MethodDescriptor) -> Kind:
    """Return the kind of a method, by what the contract says of its effects."""
    if method.GetOptions().idempotency_level != MethodOptions.NO_SIDE_EFFECTS:
        return Kind.WRITE
    return Kind.STREAM if method.server_streaming else Kind.READ


def service_config() -> dict[str, object]:
    """Return the service config of all services of the contract."""
    services = [service for file in FILES for service in file.services_by_name.values()]
    methods = [method for service in services for method in service.methods]
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": ""},  # the server as a whole: one channel is for all services
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},  # no storm of retries when everything is down
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
