"""A local exchange that speaks Binance spot's protocol; see the README beside this file."""
