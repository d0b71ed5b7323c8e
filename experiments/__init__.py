"""Experiments and tools: one file each, started by ``python -m experiments.NAME``."""
