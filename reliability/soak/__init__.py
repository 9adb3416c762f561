"""`make soak`: hours of mixed use, in which memory, descriptors, threads and connections have to stay as they are.

`activities` and `strangers` are what the users do, `samples` reads what the processes use, and `verdict` says whether
that grows.
"""
