"""Real orders at a venue, through ccxt: sent, followed, reconciled."""
