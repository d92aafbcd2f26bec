"""What a child settles about itself before it runs its program. Imports little: every cold start pays for it."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # Linux, sys/prctl.h
CLONE_NEWUSER = 0x10000000  # Linux, sched.h

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


def child_environment(**more: str) -> dict[str, str]:
    """What every child sees of our environment: enough to find its programs and files, nothing that is a setting.

    PYTHONDONTWRITEBYTECODE is dropped: without .pyc files a cold start takes five times as long.
    """
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "VIRTUAL_ENV", "SSL_CERT_FILE")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"PYTHONUNBUFFERED": "1"} | more
