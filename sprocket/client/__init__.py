"""A typed client over the generated stubs: safe retries, all pages of a list, charts that resume, errors with details.

It needs grpcio and protobuf alone. docs/python.md shows how to use it.
"""

from sprocket.client.aio import AsyncClient
from sprocket.client.attempts import OnRetry, Retry
from sprocket.client.errors import FieldViolation, ServiceError
from sprocket.client.sync import Client

__all__ = ["AsyncClient", "Client", "FieldViolation", "OnRetry", "Retry", "ServiceError"]
