"""Whether the tools that a comparison needs are there."""

import re
import shutil
import subprocess
import sys

SKIP = 77  # meson's exit status for a test that cannot run here


def usable(*tools):
    """False, with a line that names it, when one of the commands is missing."""
    for tool in tools:
        if not shutil.which(tool):
            print(f"{tool} is missing", file=sys.stderr)
            return False
    return True


def recent(qemu, oldest):
    """False, with a line that says so, when `qemu` is older than that major version."""
    version = subprocess.run([qemu, "--version"], capture_output=True, check=True).stdout
    found = re.search(rb"version (\d+)", version)
    if found and int(found[1]) >= oldest:
        return True
    print(f"{qemu}: is not QEMU {oldest} or later", file=sys.stderr)
    return False
