"""A sandbox's internet access: a process of its own, which runs as the sandbox's uid and dies with its runner.

It makes the network namespace, answers DNS queries, and, if there is an allow-list, makes the connections.
"""
