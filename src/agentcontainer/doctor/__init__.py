"""What a crash left, found and mended: named checks of this host, of the database and of the object store."""
