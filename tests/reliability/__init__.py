"""Tests of the programs in reliability/: their options, ledger and checks."""
