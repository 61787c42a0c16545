"""The shell around the core: from a request to a run that is driven, and to its end."""
