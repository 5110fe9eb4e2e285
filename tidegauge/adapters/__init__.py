"""The outside world behind the ports: databases, AWS services, files, the clock."""
