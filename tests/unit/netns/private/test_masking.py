"""A socket that goes away before it is masked is no reason to run nothing."""

import errno
import os
from pathlib import Path

import pytest

from netns.errors import SandboxError
from netns.private.masking import cover


class Mount:
    """Fails as often as it is told to."""

    def __init__(self, fails: int, number: int = errno.ENOENT, removes: Path | None = None) -> None:
        self._fails, self._number, self._removes = fails, number, removes
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls <= self._fails:
            if self._removes is not None:
                self._removes.unlink(missing_ok=True)
            raise OSError(self._number, os.strerror(self._number))


def test_what_is_gone_needs_no_mask(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.touch()
    mount = Mount(1, removes=path)
    cover(str(path), mount)
    assert mount.calls == 1


def test_what_is_there_again_is_masked(tmp_path: Path) -> None:
    mount = Mount(3)
    cover(str(tmp_path), mount)
    assert mount.calls == 4


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EPERM])
def test_what_cannot_be_masked_is_an_error_that_names_it(tmp_path: Path, number: int) -> None:
    with pytest.raises(SandboxError, match=tmp_path.name):
        cover(str(tmp_path), Mount(1000, number))
