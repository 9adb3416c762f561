"""Tests of the parsers for filters and orders."""
