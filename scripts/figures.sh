#!/bin/sh
# Prints figures about the source code: sizes, density, names, documentation.
# Production code is crates/*/src without testkit, cluster, tests and inline test modules.
# The figures come from regular expressions over formatted text: compare them with earlier ones, not to the decimal.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need python3 python3-minimal
install_needed
exec python3 - <<'PYTHON'
import collections, re, subprocess

def git_files():
    listed = subprocess.run(["git", "ls-files", "*.rs"], capture_output=True, text=True, check=True)
    return listed.stdout.split()

def is_production(path):
    if not path.startswith("crates/") or "/src/" not in path:
        return False
    if re.search(r"/tests?(/|\.rs$)", path) or path.startswith(("crates/testkit/", "crates/cluster/")):
        return False
    return True

TOKEN = re.compile(
    r"//[^\n]*|/\*.*?\*/|r(#*)\".*?\"\1|b?\"(?:\\.|[^\"\\])*\"|b?'(?:\\.[^']*|[^'\\])'|'\w+"
    r"|[A-Za-z_]\w*|\d[\w.]*|::|->|=>|\.\.=?|&&|\|\||[-+*/%^!&|=<>]=|<<|>>|\S", re.S)

def tokens(text):
    return [found.group() for found in TOKEN.finditer(text) if not found.group().startswith(("//", "/*"))]

def without_inline_tests(lines):
    for number, line in enumerate(lines):
        if line.strip() == "#[cfg(test)]" and number + 1 < len(lines):
            if re.match(r"\s*(pub(\(\w+\))? )?mod \w+ \{", lines[number + 1]):
                return lines[:number]
    return lines

def functions(lines):
    """Each function with its first line's indentation as its end; formatted text makes that exact."""
    for start, line in enumerate(lines):
        found = re.match(r"(\s*)(pub(\([\w:]+\))? )?(const |async |unsafe |extern \"C\" )*fn (\w+)", line)
        if not found:
            continue
        end = start
        while end < len(lines) and not re.match(re.escape(found.group(1)) + r"\}", lines[end]):
            if re.search(r"[;}]$", lines[end]) and end == start:
                break
            if lines[end].rstrip() == found.group(1) + ");" or re.match(re.escape(found.group(1)) + r"\).*;$", lines[end]):
                break
            end += 1
        yield found.group(5), lines[start:end + 1]

def share(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))] if values else 0

files = {path: open(path).read().split("\n") for path in git_files()}
production = {path: without_inline_tests(lines) for path, lines in files.items() if is_production(path)}
sizes = [len(lines) for lines in production.values()]
bodies = [(path, name, body) for path, lines in production.items() for name, body in functions(lines)]
lengths = [len(body) for _, _, body in bodies]
weights = [len(tokens("\n".join(body))) for _, _, body in bodies]
code = [line for lines in production.values() for line in lines if line.strip() and not line.strip().startswith("//")]
text = "\n".join(line for lines in production.values() for line in lines)
comments = sum(1 for line in text.split("\n") if re.match(r"\s*//($|[^/!])", line))
undocumented = documented = 0
for lines in production.values():
    for number, line in enumerate(lines):
        if re.match(r"\s*pub (const |async |unsafe )*(fn|struct|enum|trait|type|const|static|mod) ", line):
            above = number - 1
            while above >= 0 and re.match(r"\s*(#\[|[\w\", ()=]*\)\]$)", lines[above]):
                above -= 1
            if line.strip().endswith(";") and " mod " in line or re.match(r"\s*///", lines[above]):
                documented += 1
            else:
                undocumented += 1
types = collections.defaultdict(set)
for path, lines in production.items():
    for line in lines:
        found = re.match(r"\s*(?:pub(?:\([\w:]+\))? )?(?:struct|enum|trait|union|type) (\w+)", line)
        if found and not re.match(r"\s+type ", line):
            types[found.group(1)].add(path)
places = sum(len(where) for where in types.values())
shared = sum(len(where) for where in types.values() if len(where) > 1)
one_word = sum(1 for name in types if len(re.findall(r"[A-Z][a-z0-9]*", name)) == 1)
everything = "\n".join("\n".join(lines) for lines in files.values())
packed = len(re.findall(r"(?m)^\s*let \([^;={}]*\)\s*=\s*\((?:[^;{}()]|\([^()]*\))*\);", everything))
bool_arms = len(re.findall(r"(?m)^\s*(?:true|false) => ", everything))
unwraps = len(re.findall(r"\.unwrap\(\)|\.expect\(", text))
tests = re.findall(r"#\[(?:tokio::)?test[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:async )?fn (\w+)", everything)

rows = [
    ("Rust lines / files", f"{sum(map(len, files.values()))} / {len(files)}"),
    ("production lines / files", f"{sum(sizes)} / {len(sizes)}"),
    ("production file: median / p95 / max", f"{share(sizes, .5)} / {share(sizes, .95)} / {max(sizes)}"),
    ("files > 500 lines", "; ".join(f"{path} {len(lines)}" for path, lines in production.items() if len(lines) > 500) or "0"),
    ("function lines: median / p95 / p99 / max", " / ".join(str(share(lengths, part)) for part in (.5, .95, .99, 1))),
    ("functions > 70 lines", "; ".join(f"{path} {name} {len(body)}" for path, name, body in bodies if len(body) > 70) or "0"),
    ("functions", str(len(bodies))),
    ("function tokens: median / p90 / p95 / p99", " / ".join(str(share(weights, part)) for part in (.5, .9, .95, .99))),
    ("tokens per line of code", f"{len(tokens(chr(10).join(code))) / len(code):.1f}"),
    ("lines > 100 characters", f"{100 * sum(len(line) > 100 for line in code) / len(code):.1f} %"),
    ("public items without ///", f"{undocumented} of {documented + undocumented}"),
    ("inline // comments, share of lines", f"{100 * comments / len(text.split(chr(10))):.1f} %"),
    ("unwrap/expect per 1000 production lines", f"{1000 * unwraps / sum(sizes):.2f} ({unwraps})"),
    ("type names per 1000 lines; one word", f"{1000 * places / sum(sizes):.1f}; {100 * one_word / len(types):.0f} %"),
    ("types that share their name", f"{100 * shared / places:.0f} %"),
    ("packed lets", str(packed)),
    ("arms of a match on a bool", str(bool_arms)),
    ("tests; words per test name", f"{len(tests)}; {sum(name.count('_') + 1 for name in tests) / max(1, len(tests)):.1f}"),
]
for name, value in rows:
    print(f"{name:45} {value}")
most = sorted(((len(where), name) for name, where in types.items() if len(where) > 2), reverse=True)
print(f"{'names shared most':45} " + ", ".join(f"{name} ×{count}" for count, name in most[:15]))
PYTHON
