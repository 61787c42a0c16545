"""From configuration to a run: features, lanes, gate, policy, learner and ledger put together."""
