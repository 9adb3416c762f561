"""The files, services and messages of the contract.

They are derived from the generated code, so that a new proto is in reflection, health, the service config, the audit
log and the command line at once.
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

MESSAGES = {message.full_name: message for file in FILES for message in file.message_types_by_name.values()}
