"""`python -m sagemaker_standin.ping PORT`: 0 if a stand-in answers there on loopback, else 1."""

import sys
import urllib.request

SECONDS = 3.0


def main(port: str) -> int:
    """Ask for `/ping`."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=SECONDS) as answer:
            return 0 if answer.status == 200 else 1
    except (OSError, ValueError) as error:
        sys.stderr.write(f"no stand-in on port {port}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
