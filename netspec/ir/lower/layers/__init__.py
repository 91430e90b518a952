"""Each kind of layer, and what stands beside it in the text."""
