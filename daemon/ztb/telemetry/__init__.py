"""What is told of a run: while it lasts to whoever watches, afterwards from its files alone."""
