"""A private PostgreSQL for development and tests, never for production."""

from sprocket_grpc.storage.embedded.errors import EmbeddedDatabaseError
from sprocket_grpc.storage.embedded.ownership import embedded_postgres
from sprocket_grpc.storage.embedded.places import default_directory

__all__ = ["EmbeddedDatabaseError", "default_directory", "embedded_postgres"]
