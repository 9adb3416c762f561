"""`sprocket-grpc chart`."""
