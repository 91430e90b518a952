"""Two specs as networks: which layers are the same, what differs, which keys fit."""
