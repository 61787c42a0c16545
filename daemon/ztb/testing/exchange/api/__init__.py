"""What the exchange speaks: Binance spot over REST and websockets, in its words."""
