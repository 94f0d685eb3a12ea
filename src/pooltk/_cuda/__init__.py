"""The CuPy backend: `_pool` has the functions, and nothing but it and `_modules` needs CuPy.

    _pool       allocates results, says which types a kernel works with
    _launch     plans, in plain Python, which kernel runs over which groups of elements
    _modules    compiles the kernels of kernels/, keeps and starts them

Work is put on the current stream of the array's device, and nothing here waits for it.
"""
