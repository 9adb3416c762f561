"""The tests of the service. Each name states a behaviour that the service guarantees."""

import os
from pathlib import Path

# The tests start processes while gRPC runs in their own process. With fork support, gRPC's fork handlers run in the
# child and can crash it before exec(). gRPC reads this variable once, so it is set before the import.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"

ROOT = Path(__file__).parent.parent
"""The root directory of the repository."""
