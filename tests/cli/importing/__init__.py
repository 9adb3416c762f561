"""`sprocket-grpc import` and `export`: a repeated import writes nothing twice."""
