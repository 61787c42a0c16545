"""Mutation testing: the daemon's sources changed on purpose, one place at a time, and the tests that notice."""
