"""The zoo's specs beside their originals, from the extra `parity` or written by hand here."""
