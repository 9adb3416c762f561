"""The promises of the service, each a test."""
