"""The local stack without Docker: an AWS engine, a database and the built functions on loopback.

It starts third-party servers as child processes, builds and deploys `template.yaml`, and stops what
it started. Nothing that runs on AWS may import it.
"""
