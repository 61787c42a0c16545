"""Studies: many runs as one piece of evidence. Folds × configurations × seeds × data sets, run by this process, a pool
of processes or a cluster, and judged with every look counted.
"""
