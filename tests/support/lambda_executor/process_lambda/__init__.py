"""Lambda's execution environments as child processes: a plugin of LocalStack, for tests alone.

On the path of LocalStack's process, this folder is found by the `dist-info` beside it and chosen by
`LAMBDA_RUNTIME_EXECUTOR=process`. It runs in LocalStack's environment, so it imports nothing of
Tidegauge.
"""
