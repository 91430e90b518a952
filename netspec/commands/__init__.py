"""The commands about specs. A run's own are in `run/`."""
