"""Sources of a run's ticks: recorded history or a live market, with a valve."""
