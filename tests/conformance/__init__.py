"""The conformance suite: what the contract promises of every resource, tried through a real channel."""

import pytest

pytest.register_assert_rewrite("tests.conformance.promises")  # so that a failure shows what it compared
