"""SQL, and nothing else: functions and objects that work on a connection, never commit, and know no message."""
