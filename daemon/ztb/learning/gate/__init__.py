"""The promotion gate: candidates against the incumbent, on market that came after everything they were trained on."""
