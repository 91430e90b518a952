"""Functions whose kernels save other things, or count other FLOPs, on another backend than `meta`.

tests/view/test_figures.py measures every network on the CPU and finds the first two sets.
"""

ATTENTION = frozenset({"scaled_dot_product_attention", "multi_head_attention_forward"})
RECURRENT = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell"})
MASKING = frozenset({"dropout"})  # a mask of floats on the CPU, of booleans on CUDA
OTHER_KERNELS = ATTENTION | RECURRENT  # what they keep of their inputs is not known from `meta`
BY_BACKEND = OTHER_KERNELS | MASKING
