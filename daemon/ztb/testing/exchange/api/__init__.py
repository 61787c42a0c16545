"""The exchange's language: Binance spot over REST and websockets, in its words."""
