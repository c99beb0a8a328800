"""Command line options of the whole suite."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--as",
        dest="act_as",
        choices=("user", "root"),
        default="user",
        help="who the kernel tests are: an ordinary user, or root with its range of ids",
    )
