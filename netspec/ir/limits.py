"""How large a program may become; a stranger's spec must not exhaust the machine that checks it.

Whatever passes one of these is refused at its place: as NS217, an expression's result as NS304, and
what nests too deep as NS211.
"""

MAX_LAYERS = 200_000  # after expansion; what registers nothing is counted apart
MAX_INNER_LAYERS = 200  # `num_layers` of an RNN or a Transformer
MAX_BLOCKS = 5_000  # that differ in their args or input types
MAX_ELEMENTS = 20_000_000_000  # of all parameters, buffers and constants
MAX_DEPTH = 40  # blocks and containers in one another
MAX_INPUT_ELEMENTS = 2**40
MAX_NUMBER = 10**18
MAX_EXPONENT = 64
MAX_LENGTH = 10_000  # of a string or a tuple that an expression makes, with all that is in it
