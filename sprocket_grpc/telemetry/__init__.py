"""Log lines, traces and metrics. Libraries for traces and metrics are imported only when these are turned on."""
