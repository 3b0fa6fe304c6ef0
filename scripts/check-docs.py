#!/usr/bin/env python3
"""Documents that rot: every relative link leads somewhere, every path named in `code` exists, no word of any one machine."""
import pathlib, re, subprocess, sys

root = pathlib.Path(__file__).resolve().parent.parent
tracked = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout.split()
problems = []
for name in tracked:
    path = root / name
    if not path.is_file():
        continue
    if name.endswith(".md"):
        text = path.read_text()
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if not re.match(r"[a-z]+:", target) and not (path.parent / target).exists():
                problems.append(f"{name}: link to {target} leads nowhere")
        for target in re.findall(r"`((?:src|include|cli|tests|bench|docs|scripts|examples|cmake|completions)/[\w./-]+)`", text):
            placeholder = re.search(r"[A-Z]{3,}\.", target)  # src/data/FORMAT.c in an "add a ..." page
            if not placeholder and not (root / target).exists():
                problems.append(f"{name}: names {target}, which does not exist")
version = re.search(r"VERSION (\d+\.\d+\.\d+)", (root / "CMakeLists.txt").read_text()).group(1)
header = (root / "include/weightmark/base.h").read_text()
in_header = ".".join(re.search(rf"WMK_VERSION_{part} (\d+)", header).group(1) for part in ("MAJOR", "MINOR", "PATCH"))
if version != in_header:
    problems.append(f"version {version} in CMakeLists.txt, {in_header} in weightmark/base.h")
if not re.search(rf"^## .*{re.escape(version)}", (root / "CHANGELOG.md").read_text(), re.M):
    problems.append(f"CHANGELOG.md says nothing of {version}")
print("\n".join(problems) if problems else "documents: links, paths and versions agree")
sys.exit(bool(problems))
