"""Locations, sprocket types, factories, sprockets and production charts, as a gRPC service."""

__version__ = "0.1.0"
