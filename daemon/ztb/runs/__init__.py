"""A run in Python: read back as tables, or made. `ztb.load_run` and `ztb.replay` are its doors."""
