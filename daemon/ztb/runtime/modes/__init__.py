"""The modes of a run: replay, paper, live, train; each from its request to its end."""
