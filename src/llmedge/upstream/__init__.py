"""HTTP out: connections, their pool, TLS, limits."""
