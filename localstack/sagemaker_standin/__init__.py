"""A stand-in for the parts of SageMaker that Tidegauge uses, on loopback, over real HTTP."""
