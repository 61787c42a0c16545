"""The policy: its weights, the kernels that serve it, and which network it is."""
