"""For which sizes a network is valid, and what it gives there: formulas in its free sizes."""
