"""Databases that are not as the service expects them, and the answers of every RPC to that."""

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
"""The tables that are damaged. The audit log stays as it is."""


def without_audit_log(requests: dict[str, bytes]) -> dict[str, bytes]:
    """Leave out what reads the audit log."""
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
    """Let nobody into a database, and those out who are in it, until the block ends."""
    name = make_url(url).database
    execute(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        users = f"pg_stat_activity WHERE datname = '{name}'"
        execute(postgres, f"SELECT pg_terminate_backend(pid, 5000) FROM {users}")  # noqa: S608  # our own name
        yield
    finally:
        execute(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
