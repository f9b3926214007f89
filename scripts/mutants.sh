#!/usr/bin/env bash
# Leaves out one rule of the file channel after the other, and sees that a test notices. `scripts/mutants.sh` tries all,
# `scripts/mutants.sh WORD` those with this word in their name. A row of `mutants.txt` that no longer fits the code is a
# failure, too: either the code has moved, or the rule is gone.
#
# The sources are changed in place and restored; run it with everything committed.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -z "$(git status --porcelain crates/file-channel)" ] || { echo "commit crates/file-channel first"; exit 1; }
exec python3 - "${1:-}" <<'PYTHON'
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path("crates/file-channel/src")
TIMEOUT_SECONDS = 900


def mutants():
    """Blocks of `# name`, `file`, `tests`, and the text before and after, divided by `---`."""
    text = pathlib.Path("scripts/mutants.txt").read_text()
    for block in text.split("\n# ")[1:]:
        name, file, tests, rest = block.split("\n", 3)
        before, after = rest.split("\n---\n")
        yield name, ROOT / file, tests.split(), before, after.rstrip("\n")


def outcome(path, before, after, tests):
    source = path.read_text()
    if source.count(before) != 1:
        return f"does not apply: {source.count(before)} places in {path}"
    path.write_text(source.replace(before, after))
    try:
        command = ["cargo", "test", "-q", "-p", "flume-file-channel", "--lib", "--"]
        run = subprocess.run(command + tests, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        return "caught (the tests do not end)"
    finally:
        path.write_text(source)
    if "error: could not compile" in run.stderr:
        return "does not compile"
    if run.returncode == 0:
        return "SURVIVES"
    failed = [line.split()[1] for line in run.stdout.splitlines() if line.startswith("---- ")]
    return "caught by " + ", ".join(name.rsplit("::", 1)[-1] for name in failed)


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
