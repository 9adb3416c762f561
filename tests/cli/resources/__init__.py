"""`sprocket-grpc get`, `list`, `create`, `update`, `delete`."""
