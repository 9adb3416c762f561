"""The server: what it is put together from, and the life of its process."""
