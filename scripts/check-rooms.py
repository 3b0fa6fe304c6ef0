#!/usr/bin/env python3
"""The law between rooms (CONTRIBUTING.md, "Rooms"): fails on an #include against the arrows."""
import pathlib, re, sys

BELOW = {
    "base": set(),
    "mark": {"base"},
    "model": {"base"},
    "mark_file": {"base", "mark", "model"},
    "nn": {"base"},
    "data": {"base"},
    "train": {"base", "nn", "data", "model", "mark", "mark_file"},
    "attack": {"base", "model", "train"},
    "report": {"base"},
}
# Which public header belongs to which room; base's and tensor's are everybody's.
HEADER_ROOM = {name: name for name in BELOW} | {"tensor": "base"}
EXTERNAL = {"dnnl.h": "src/nn/onednn/", "sodium.h": "src/", "jansson.h": "", "zlib.h": "src/"}

root = pathlib.Path(__file__).resolve().parent.parent
problems = []
for path in sorted([*root.glob("src/**/*.[ch]"), *root.glob("cli/**/*.[ch]"), *root.glob("examples/*.c")]):
    name = path.relative_to(root).as_posix()
    room = path.relative_to(root).parts[1] if name.startswith("src/") else None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*[<"]([^">]+)[">]', line)
        if not match:
            continue
        header = match.group(1)
        if header.startswith("weightmark/"):
            target = HEADER_ROOM.get(header.split("/")[1].removesuffix(".h"))
            if target is None:
                problems.append(f"{name}:{number}: no such public header: {header}")
            elif room and target != room and target not in BELOW[room]:
                problems.append(f"{name}:{number}: {room} must not know {target} ({header})")
        elif "/" in header and header.split("/")[0] in BELOW:
            target = header.split("/")[0]
            if room is None:
                problems.append(f"{name}:{number}: only public headers here, not {header}")
            elif target != room and target not in BELOW[room]:
                problems.append(f"{name}:{number}: {room} must not know {target} ({header})")
        elif header in EXTERNAL and not name.startswith(EXTERNAL[header]):
            problems.append(f"{name}:{number}: {header} belongs in {EXTERNAL[header]}")
        if header.startswith("openssl/") and name != "src/mark/timestamp_libcrypto.c":
            problems.append(f"{name}:{number}: only src/mark/timestamp_libcrypto.c includes {header}")
        if header == "dnnl.h" or header.startswith("dnnl") or header.startswith("oneapi/"):
            if not name.startswith("src/nn/onednn/"):
                problems.append(f"{name}:{number}: only src/nn/onednn/ includes {header}")

# Library code never prints, exits or aborts on input.
for path in sorted(root.glob("src/**/*.c")):
    name = path.relative_to(root).as_posix()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if re.search(r"\b(printf|puts|putchar|perror|exit|abort|assert)\s*\(", line) and not re.search(r"static_assert|_Static_assert", line):
            problems.append(f"{name}:{number}: library code does not print, exit or abort: {line.strip()}")

print("\n".join(problems) if problems else "room law: kept")
sys.exit(bool(problems))
