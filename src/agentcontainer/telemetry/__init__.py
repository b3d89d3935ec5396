"""What the processes report about themselves: metrics, and the labels of log lines."""
