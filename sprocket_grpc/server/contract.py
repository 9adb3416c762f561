"""The files and services of the contract.

They are derived from the generated code, so that reflection, health and the service config include every new proto.
"""

from importlib import import_module
from pkgutil import iter_modules

from google.protobuf.descriptor import FileDescriptor

from sprocket import v1


def _files() -> list[FileDescriptor]:
    modules = sorted(module.name for module in iter_modules(v1.__path__) if module.name.endswith("_pb2"))
    return [import_module(f"{v1.__name__}.{name}").DESCRIPTOR for name in modules]


FILES = _files()

SERVICES = [service.full_name for file in FILES for service in file.services_by_name.values()]
