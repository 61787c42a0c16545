"""The past put back: what earlier runs on the same folder left, read from their journal alone."""
