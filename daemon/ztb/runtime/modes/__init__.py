"""What a run is started as: replay, paper, live, train; each from its request to its end."""
