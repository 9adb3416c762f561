"""The embedded PostgreSQL, for development and tests only."""

from sprocket_grpc.storage.embedded.errors import EmbeddedDatabaseError
from sprocket_grpc.storage.embedded.ownership import embedded_postgres
from sprocket_grpc.storage.embedded.places import default_directory
from sprocket_grpc.storage.embedded.temporary import temporary_postgres

__all__ = ["EmbeddedDatabaseError", "default_directory", "embedded_postgres", "temporary_postgres"]
