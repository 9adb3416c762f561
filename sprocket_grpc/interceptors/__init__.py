"""What holds for every call, whatever it asks for: one file per interceptor."""
