"""Runs: train, evaluate, sweep; the only place that names Hydra or Lightning."""
