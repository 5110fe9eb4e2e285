"""The words of Tidegauge and the arithmetic on them: no I/O, no clock, no logger."""
