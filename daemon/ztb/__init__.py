"""ztb: a trading daemon that keeps learning."""

__version__ = "0.1.0"
