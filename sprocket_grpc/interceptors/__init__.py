"""The interceptors that every call goes through, one per file, and the chain that puts them around handlers."""
