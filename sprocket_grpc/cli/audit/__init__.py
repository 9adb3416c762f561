"""The command `audit`: reads the audit log through the service or from the database."""
