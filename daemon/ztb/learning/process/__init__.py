"""The learner in a process of its own: shared memory that nothing names, and whoever keeps it running."""
