#!/usr/bin/env python3
"""Says whether LocalStack is ready: it answers, and all hooks of ready.d have succeeded.

LocalStack's own health check is content when a hook failed, and calls its run `completed`. Ends
with 0, or with 1 and one sentence, which `docker inspect` shows. Runs in LocalStack's container.
"""

import json
import os
import sys
import urllib.request

SECONDS = 5.0


def why_not_ready(url: str) -> str | None:
    """Return why LocalStack is not ready, in a sentence; None if it is."""
    try:
        with urllib.request.urlopen(  # noqa: S310 - always http, to LocalStack
            f"{url}/_localstack/init/ready", timeout=SECONDS
        ) as answer:
            told = json.load(answer)
        states = {hook["name"]: hook["state"] for hook in told["scripts"]}
        completed = told["completed"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"LocalStack does not tell of its hooks: {error!r}"
    failed = [name for name, state in states.items() if state == "ERROR"]
    if failed:
        return f"the hook {failed[0]} failed: LocalStack's log says why"
    if not completed:
        return "LocalStack's hooks have not run yet"
    if not states:
        return "LocalStack has no hooks: ready.d is not mounted"
    waiting = [name for name, state in states.items() if state != "SUCCESSFUL"]
    return f"the hook {waiting[0]} did not succeed" if waiting else None


def main() -> int:
    """Ask the LocalStack of AWS_ENDPOINT_URL, or of this container."""
    why = why_not_ready(os.environ.get("AWS_ENDPOINT_URL") or "http://127.0.0.1:4566")
    if why is not None:
        sys.stderr.write(f"{why}\n")
    return 0 if why is None else 1


if __name__ == "__main__":
    sys.exit(main())
