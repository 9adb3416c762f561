"""The server and the life of its process."""
