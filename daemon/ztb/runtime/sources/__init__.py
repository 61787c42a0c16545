"""Where a run's ticks come from: recorded history or a live market, with a valve."""
