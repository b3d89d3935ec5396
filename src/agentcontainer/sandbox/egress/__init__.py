"""A sandbox's internet access: a process that makes the network namespace, answers DNS queries, and, if there
is an allow-list, makes the connections. It runs as the sandbox's uid and dies with its runner."""
