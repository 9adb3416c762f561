"""The conformance suite: tests of the behaviour that the contract documents for every resource, over a real channel."""

import pytest

pytest.register_assert_rewrite("tests.conformance.promises")  # so that a failed assertion shows its operands
