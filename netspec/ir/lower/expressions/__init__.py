"""Expressions of the spec, evaluated at each probe."""
