"""The client methods of a channel, by name: no two services have methods of the same name."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import grpc

from sprocket_grpc.contract import FILES


def methods_on(channel: grpc.aio.Channel) -> Mapping[str, Any]:
    """Return the methods of all services of the contract, such as GetSprocket."""
    found: dict[str, Any] = {}
    for file in FILES:
        for service in file.services_by_name.values():
            module = import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2_grpc")
            stub = getattr(module, f"{service.name}Stub")(channel)
            found |= {method.name: getattr(stub, method.name) for method in service.methods}
    return found
