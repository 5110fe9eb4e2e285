"""Counts the batches of the events stream."""
