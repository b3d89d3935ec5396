"""OCI images: named by clients, looked up by the API, pulled and kept by runners."""
