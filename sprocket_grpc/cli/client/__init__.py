"""Shared by all client commands: like any other client of the service, they know only its contract."""
