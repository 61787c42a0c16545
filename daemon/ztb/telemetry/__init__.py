"""Telemetry: told while a run lasts to whoever watches, afterwards from its files alone."""
