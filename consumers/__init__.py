"""Deployables that read the streams and keep the clock."""
