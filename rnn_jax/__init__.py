"""Recurrent networks as pure functions; README.md says which file is which slide."""
