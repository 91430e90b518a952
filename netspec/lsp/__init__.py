"""A language server for specs: what an editor asks while one types, answered from the analysis."""
