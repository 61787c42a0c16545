"""A recorded session again, start by start: its ticks in their order, and from its journal all that came from outside.

Everything else is done again and compared with what was done.
"""
