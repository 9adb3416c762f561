"""Tests of the embedded PostgreSQL with real servers, processes and signals."""
