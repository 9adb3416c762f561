"""`sprocket-grpc import` and `export`: all of a file is written once, however often it is imported."""
