"""The command `api-key`: works on the database, since no RPC creates, lists or revokes API keys."""
