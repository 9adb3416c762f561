"""The RPCs: a thin servicer for each proto service, over the standard methods that all of them share."""

from typing import Any, TypeAlias

from grpc.aio import ServicerContext

Context: TypeAlias = ServicerContext[Any, Any]
"""The context that gRPC passes to an RPC."""
