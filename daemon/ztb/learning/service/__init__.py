"""The learner as the daemon has it: in step or in a process of its own, promotion, the store."""
