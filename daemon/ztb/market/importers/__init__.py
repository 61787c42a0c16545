"""Files of market data, whatever their layout, into clean ticks."""
