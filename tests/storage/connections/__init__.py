"""Tests of the connections to PostgreSQL: random sequences of uses, and connections that end at any byte."""
