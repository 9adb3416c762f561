"""What a run of the tests says at its end."""

import os
import subprocess
import sys

from tests import ROOT

REDIS = "tests/interceptors/test_rate_limit_redis.py"


def test_a_run_says_at_its_end_which_tests_were_skipped_and_why() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "1", REDIS]
    without_programs = {**os.environ, "PATH": ""}
    run = subprocess.run(
        command, cwd=ROOT, env=without_programs, capture_output=True, text=True, timeout=100, check=True
    )
    _, _, said = run.stdout.partition(" tests skipped")
    assert f" of {REDIS}: redis-server is not installed" in said
