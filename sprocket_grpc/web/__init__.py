"""The web listener: the calls of browsers and curl by HTTP, as Connect and gRPC-Web."""
