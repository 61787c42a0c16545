"""One read-only page about the daemon, live, and its metrics; on loopback unless TLS and a token guard it."""
