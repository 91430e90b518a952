"""A program run on `meta`, statement by statement, with the modules of its built model."""
