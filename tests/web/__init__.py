"""Tests of the web listener: what browsers and curl get."""
