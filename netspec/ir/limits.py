"""How large the values of a program may become, whoever asks; `netspec.limits` has the others.

Whatever passes one of these is refused at its place: as NS217, an expression's result as NS304, and
what nests too deep as NS211.
"""

MAX_DEPTH = 40  # blocks and containers in one another
MAX_NUMBER = 10**18
MAX_EXPONENT = 64
MAX_LENGTH = 10_000  # of a string or a tuple that an expression makes, with all that is in it
MAX_NESTING = 40  # of a tuple that an expression makes, in one another
MAX_LEFT_OUT = 16  # inputs that may be None: each is tried with and without the others
