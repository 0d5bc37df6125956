"""Faults that `fault_injection.py` injects into real runs; a function each, which returns its line of the table."""
