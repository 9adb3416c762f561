"""The tests of the service: each is a promise, and its name says which."""

import os
from pathlib import Path

# The tests start processes while gRPC is at work in their own. Its handlers of fork() would go on in the child, and
# have crashed it before it became the program that it was to be. Before gRPC is imported, which reads this once.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"

ROOT = Path(__file__).parent.parent
"""Where the repository is."""
