"""Live market data through ccxt: streams, kept alive and complete, as blocks of ticks."""
