"""What this host lacks and what a crash left, found and mended: named checks of host, database and object store."""
