"""What was lowered, frozen: graphs, outputs, inits."""
