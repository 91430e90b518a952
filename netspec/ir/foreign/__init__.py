"""Layers and whole files as other tools write them, and the same as a spec says it.

Only messages are made of them; nothing is built from what is in here.
"""
