"""Other users and other homes, for tests that run as root. Nothing here outlives the test or touches a real home."""

import ctypes
import os
import pwd
import subprocess

import harness

UID = 54321  # nobody's: no account is made for it


def need_root(case):
    if os.geteuid() != 0:
        case.skipTest("needs root, to run programs as another user")


def stranger(case, *command):
    """The command line that runs `command` as a user without an account."""
    need_root(case)
    line = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", *map(str, command)]
    if subprocess.run(line[:4] + [harness.STEP1X, "--version"], capture_output=True, check=False).returncode != 0:
        case.skipTest(f"user {UID} cannot run {harness.STEP1X}: a folder above it is closed to others")
    return line


def give(path, uid=UID):
    os.chown(path, uid, uid)


class Home:
    """Commands that find an empty directory where the user database says that this user's home is."""

    def __init__(self, case):
        need_root(case)
        self.real = pwd.getpwuid(os.geteuid()).pw_dir
        self.path = case.dir / "home"
        self.path.mkdir(mode=0o700)
        if harness.BUILD.is_relative_to(self.real) or harness.SOURCE.is_relative_to(self.real):
            case.skipTest(f"the programs lie in the home {self.real} that this test covers")
        probe = subprocess.run(self.command("true"), capture_output=True, text=True, check=False)
        if probe.returncode != 0:
            case.skipTest(f"cannot mount here: {probe.stderr.strip()}")

    def command(self, *command):
        """In a mount namespace of its own: the mount ends with the command, and shows nowhere else."""
        script = 'mount --bind "$1" "$2" || exit 99; shift 2; exec "$@"'
        return ["unshare", "-m", "sh", "-c", script, "sh", str(self.path), self.real, *map(str, command)]


def full_disk(case, options):
    """A small file system of the case's own; returns its path. Unmounted at the end."""
    need_root(case)
    path = case.dir / "disk"
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "step1x-test", path], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        case.skipTest(f"cannot mount here: {done.stderr.strip()}")
    # Lazily: a process that is just ending may still have a file open.
    case.addCleanup(ctypes.CDLL(None).umount2, os.fsencode(path), 2)
    return path
