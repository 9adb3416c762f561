"""Programs that try to break a running service: `make chaos` and `make soak`. See docs/reliability.md.

They run real server processes on a real PostgreSQL, and use the service as clients do.
"""
