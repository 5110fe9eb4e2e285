"""Deployables that put events on a stream."""
