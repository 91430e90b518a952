"""Whether a value may be overwritten: asked of a run of the program on `meta`.

The program is run out of place and watched: which bytes each operator reads, which storages
autograd keeps, what is born where; of equal calls, the first one. From that it follows which calls
may write into their input. What a run on `meta` cannot tell (memory that overlaps itself, gradients
of other bits), a trial on small CPU tensors does.
"""
