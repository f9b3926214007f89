#!/usr/bin/env bash
# Leaves out one rule of the channels after the other, and sees that a test notices. `scripts/mutants.sh` tries all,
# `scripts/mutants.sh WORD` those with this word in their name. A row of `mutants.txt` that no longer fits the code is a
# failure, too: either the code has moved, or the rule is gone.
#
# The sources are changed in place and restored; run it with everything committed.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -z "$(git status --porcelain crates)" ] || { echo "commit what is in crates first"; exit 1; }
exec python3 - "${1:-}" <<'PYTHON'
import os
import pathlib
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path("crates")
TIMEOUT_SECONDS = 1800


def mutants():
    """Blocks of `# name`, the file, the tests, and the text before and after, divided by `---`."""
    text = pathlib.Path("scripts/mutants.txt").read_text()
    for block in text.split("\n# ")[1:]:
        name, file, tests, rest = block.split("\n", 3)
        before, after = rest.split("\n---\n")
        yield name, ROOT / file, tests.split(), before, after.rstrip("\n")


def run(command):
    """The outcome of a command; none if it takes too long, and then it ends with all that it started."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, process_group=0, **pipes) as process:
        try:
            said, told = process.communicate(timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return None
    return subprocess.CompletedProcess(command, process.returncode, said, told)


def outcome(path, before, after, tests):
    source = path.read_text()
    if source.count(before) != 1:
        return f"does not apply: {source.count(before)} places in {path}"
    crate = path.relative_to(ROOT).parts[0]
    path.write_text(source.replace(before, after))
    try:
        tried = run(["cargo", "test", "-q", "-p", f"flume-{crate}", *tests])
    finally:
        path.write_text(source)
    if tried is None:
        return "caught (the tests do not end)"
    if "error: could not compile" in tried.stderr:
        return "does not compile"
    if tried.returncode == 0:
        return "SURVIVES"
    failed = [line.split()[1] for line in tried.stdout.splitlines() if line.startswith("---- ")]
    names = ", ".join(name.rsplit("::", 1)[-1] for name in failed)
    # A test that panics twice ends all of them, and names none.
    return "caught by " + names if names else "caught (the tests abort)"


bad = 0
for name, path, tests, before, after in mutants():
    if sys.argv[1] not in name:
        continue
    began = time.monotonic()
    what = outcome(path, before, after, tests)
    bad += not what.startswith("caught")
    print(f"{name}: {what} ({time.monotonic() - began:.0f} s)", flush=True)
sys.exit(bool(bad))
PYTHON
