"""Callers: API keys, tokens, and what each may do."""
