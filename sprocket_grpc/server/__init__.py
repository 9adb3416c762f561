"""The server: its dependencies, its construction, and the lifecycle of its process."""
