"""Filters and orders as they are read."""
