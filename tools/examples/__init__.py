"""Runs the example programs: `make examples`."""
