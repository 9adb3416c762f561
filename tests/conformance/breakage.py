"""Damaged or unavailable databases, and the errors of every RPC on them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from sqlalchemy import make_url

from sprocket_grpc.testing.postgres import execute
from tests.conformance.promises import refusal
from tests.conformance.rpcs import METHODS, call, path
from tests.support.errors import Failure
from tests.support.resources import CASES
from tests.support.service import Service

TABLES = [case.name for case in CASES]
"""The tables to damage; the audit log stays intact."""


def without_audit_log(requests: dict[str, bytes]) -> dict[str, bytes]:
    """Return the requests without those of the audit service."""
    return {path: request for path, request in requests.items() if "Audit" not in path}


async def failures(
    service: Service, requests: dict[str, bytes], code: grpc.StatusCode, reason: str
) -> dict[str, Failure]:
    """Call methods that all have to fail, and return their errors by path."""
    methods = [method for method in METHODS if path(method) in requests]
    calls = (refusal(call(service, method, requests[path(method)]), code, reason) for method in methods)
    return dict(zip(map(path, methods), await asyncio.gather(*calls), strict=True))


@contextmanager
def closed_database(postgres: str, url: str) -> Iterator[None]:
    """Close all connections to a database, and refuse new ones, until the block ends."""
    name = make_url(url).database
    execute(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        sessions = f"pg_stat_activity WHERE datname = '{name}'"
        execute(postgres, f"SELECT pg_terminate_backend(pid, 5000) FROM {sessions}")  # noqa: S608  # our own name
        yield
    finally:
        execute(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
