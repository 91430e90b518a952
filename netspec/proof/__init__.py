"""All forms of one spec, built and compared bit by bit."""
