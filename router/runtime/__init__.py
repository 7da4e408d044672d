"""Threads, event loops, and turns of the interpreter."""
