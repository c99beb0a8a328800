"""fetch.py URL COUNT: fetch URL/0, URL/1 ... at once; print the answers in order, one a line."""

import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen


def fetch(number: int) -> str:
    with urlopen(f"{sys.argv[1]}/{number}", timeout=30) as answer:
        body: bytes = answer.read()
        return body.decode()


if __name__ == "__main__":
    count = int(sys.argv[2])
    with ThreadPoolExecutor(count) as pool:
        sys.stdout.write("\n".join(pool.map(fetch, range(count))) + "\n")
