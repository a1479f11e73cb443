"""Mutation testing of the security core: faults are put into a copy of it, and its tests must notice."""
