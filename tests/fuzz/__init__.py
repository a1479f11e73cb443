"""Targets for a fuzzer, each a property of one reader of bytes from outside, and the inputs worth keeping."""
