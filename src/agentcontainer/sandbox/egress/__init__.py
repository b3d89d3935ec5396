"""One sandbox's way to the internet: a process of its own that makes the network namespace, answers its DNS questions,
and, where hosts are named, makes its connections. It runs as the sandbox's uid and dies with its runner."""
