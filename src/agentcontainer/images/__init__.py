"""OCI images: clients name them, the API looks them up, and runners pull and keep them."""
