"""The private PostgreSQL: real servers, real processes, real signals."""
