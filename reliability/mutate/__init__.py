"""Breaks the core one line at a time and looks whether the tests of that line notice: `make mutate`.

Why our own: mutmut chooses mutants at run time inside one process, while tests here fork servers and run the command
line; Cosmic Ray changes the checkout itself. Neither removes statements, locks, time-outs and clauses of SQL, which are
the faults that the tests did not see.
"""
