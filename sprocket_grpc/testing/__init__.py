"""Pytest fixtures for teams that test their own code against this service."""
