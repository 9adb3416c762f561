"""What the contract says, for those who go by it: which files it has, and which services."""

from google.protobuf.descriptor import FileDescriptor

from sprocket.v1 import audit_pb2, factory_pb2, location_pb2, sprocket_pb2, sprocket_type_pb2

FILES: list[FileDescriptor] = [
    module.DESCRIPTOR for module in (location_pb2, sprocket_type_pb2, factory_pb2, sprocket_pb2, audit_pb2)
]

SERVICES = [service.full_name for file in FILES for service in file.services_by_name.values()]
