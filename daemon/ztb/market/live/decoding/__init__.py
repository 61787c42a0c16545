"""The hot messages of venues, decoded without ccxt."""
