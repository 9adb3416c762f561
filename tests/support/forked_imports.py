"""What the process imports from which `tests.support.forked` forks commands: the modules of all of them."""

import os
from importlib import import_module

from sprocket_grpc.cli.main import COMMANDS

_LATER = ("server.run", "server.supervisor", "storage.seed", "storage.embedded.server", "web.listener")
"""What commands import when they need it."""

# gRPC reads it when it is imported. Client commands set it; in tests, servers are without gRPC's log too.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

for _module in [*(f"cli.{each.module}" for each in COMMANDS.values()), *_LATER]:
    import_module(f"sprocket_grpc.{_module}")
