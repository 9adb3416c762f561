"""Connections to PostgreSQL: how they are made, pooled, and run statements, and what their errors mean."""
