"""Proximal policy optimisation: rollouts, advantages, the clipped objective, Adam."""
