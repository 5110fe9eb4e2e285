"""Puts a recorded fixture on a stream, with the heartbeats that are its clock."""
