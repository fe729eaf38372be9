"""Requests of other projects for the same thing: how they name their items, and how they want to be told."""
