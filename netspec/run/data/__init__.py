"""Data for runs: files → `Data`, whose examples come as `Batches`."""
