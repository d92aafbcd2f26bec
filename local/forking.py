"""What a child settles about itself before it runs its program. Imports little: every cold start pays for it.

As a program of its own, `python forking.py as-is|namespace|nobody PARENT PROGRAM...` settles it and becomes PROGRAM.
Between fork and exec that is too early: in a process where gRPC is at work, its threads wake up in the forked child
too; the kernel refuses a user namespace to a process with more than one, and they abort the child when its files close.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1  # Linux, sys/prctl.h
CLONE_NEWUSER = 0x10000000  # Linux, sched.h
AS_IS, NAMESPACE, NOBODY = "as-is", "namespace", "nobody"
NOBODY_ID = 65534

# Loaded here, before any fork: between fork and exec a child should do as little as it can.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """Ask the kernel to kill this process with the thread that started it. Does nothing where there is no Linux."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def enter_user_namespace() -> None:
    """Stop being root, as the same owner of the same files. Raises OSError where the kernel refuses."""
    if _libc is None or _libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "the kernel refuses a user namespace")


def become_nobody() -> None:
    """Stop being root, as somebody who owns nothing."""
    os.setgroups([])
    os.setgid(NOBODY_ID)
    os.setuid(NOBODY_ID)


def unforked(argv: Sequence[str], user: str) -> list[str]:
    """The command that becomes `argv`, as the same user, in a NAMESPACE or as NOBODY, and ends with this process."""
    return [sys.executable, "-I", "-S", __file__, user, str(os.getpid()), *argv]


def child_environment(**more: str) -> dict[str, str]:
    """What every child sees of our environment: enough to find its programs and files, nothing that is a setting.

    PYTHONDONTWRITEBYTECODE is dropped: without .pyc files a cold start takes five times as long.
    """
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "VIRTUAL_ENV", "SSL_CERT_FILE")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"PYTHONUNBUFFERED": "1"} | more


def main(user: str, parent: str, *argv: str) -> None:
    if user == NAMESPACE:
        enter_user_namespace()
    elif user == NOBODY:
        become_nobody()
    die_with_parent()
    if os.getppid() != int(parent):  # it died before we asked, and nobody would tell us
        sys.exit(1)
    os.execv(argv[0], argv)


if __name__ == "__main__":
    main(*sys.argv[1:])
