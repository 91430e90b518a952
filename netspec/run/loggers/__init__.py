"""Where a run's figures go beside metrics.csv."""
