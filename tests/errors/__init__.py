"""Authentication with API keys and tokens, and permissions."""
