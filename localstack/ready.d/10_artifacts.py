#!/usr/bin/env python3
"""Makes the bucket that `sam deploy` puts the functions into. Safe to run again.

LocalStack runs a hook by `exec`, without a name of its own and in its own process. There a fault is
raised, and LocalStack notes `ERROR` in `/_localstack/init/ready`; to leave by `sys.exit` would end
more than the hook. Run by hand, it says what is wrong in one sentence, and ends with 1.
"""

import os
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

BUCKET = "tidegauge-artifacts"
_THERE = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


class HookFailed(Exception):
    """The bucket is not there; the message says why."""


def make_bucket() -> None:
    """Make the bucket unless it is there.

    Raises:
        HookFailed: LocalStack did not do so.
    """
    url = os.environ.get("AWS_ENDPOINT_URL") or "http://127.0.0.1:4566"
    s3 = boto3.session.Session().client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - LocalStack takes any
        config=Config(s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=30),
    )
    try:
        s3.create_bucket(Bucket=BUCKET)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _THERE:
            msg = f"the bucket {BUCKET} could not be made at {url}: {error}"
            raise HookFailed(msg) from error
    except BotoCoreError as error:
        msg = f"the bucket {BUCKET} could not be made at {url}: {error}"
        raise HookFailed(msg) from error


if __name__ == "__main__":
    try:
        make_bucket()
    except HookFailed as fault:
        sys.exit(str(fault))
elif __name__ == "builtins":  # what `exec` in LocalStack leaves as a name
    make_bucket()
