"""The service as a plain Python model."""
