"""Tests of the interceptors."""
