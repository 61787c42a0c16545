"""The daemon: one task group, and its components: commands, kill switch, status, observers."""
