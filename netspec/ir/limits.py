"""How large a program may become; a stranger's spec must not exhaust the machine that checks it."""

MAX_LAYERS = 200_000  # after expansion, an RNN's inner ones too
MAX_ELEMENTS = 20_000_000_000  # of all parameters, buffers and constants
MAX_DEPTH = 40  # blocks and containers in one another
MAX_INPUT_ELEMENTS = 2**40
MAX_NUMBER = 10**18
MAX_EXPONENT = 64
MAX_LENGTH = 10_000  # of a string or a tuple that an expression makes
