"""Command: run a program or a constant shell script."""
