"""Spec + args → Program: blocks expanded, repeats unrolled, expressions folded, facts found."""
