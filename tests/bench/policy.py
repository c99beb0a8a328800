"""What a decision costs by the number of rules: `python -m tests.bench.policy` prints it."""

import sys
from ipaddress import IPv4Address
from timeit import repeat

from relay.addresses import Destination
from relay.policy.policy import Policy

_ROUNDS = 5
_NUMBER = 5000


def many(count: int) -> Policy:
    """Return a policy with so many rules: names, names below, addresses; allowed and denied."""
    numbers = range(count // 6)
    allow = [f"{kind}{n}.corp.example" for n in numbers for kind in ("h", "*.w", "x.y.z.")]
    addresses = [str(IPv4Address(0x08000000 + number)) for number in numbers]
    deny = [text for n in numbers for text in (f"d{n}.example", f"7.{n >> 8}.{n % 256}.0/24")]
    return Policy([*allow, *addresses, "*.late.example", "9.0.0.0/8"], deny)


def microseconds(policy: Policy, destination: Destination, address: str) -> float:
    """Return what a look-up, a decision and an address's verdict take together, at best."""

    def judge() -> None:
        policy.judge_name(destination.host)
        policy.decide(destination)
        policy.judge_address(destination, address)

    return min(repeat(judge, number=_NUMBER, repeat=_ROUNDS)) / _NUMBER * 1e6


def main() -> None:
    """Print the figures."""
    for count in (10, 1_000, 10_000):
        policy = many(count)
        name = microseconds(policy, Destination("a.b.late.example", 443), "9.9.9.9")
        literal = microseconds(policy, Destination("9.9.9.9", 443), "9.9.9.9")
        sys.stdout.write(f"{count:6} rules: name {name:5.1f} us, address {literal:5.1f} us\n")


if __name__ == "__main__":
    main()
