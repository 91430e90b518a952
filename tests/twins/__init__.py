"""The networks of `configs/model` as one would write them by hand, in plain PyTorch."""
