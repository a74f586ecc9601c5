"""Known advisories against the versions of constraints.txt; skipped where no index has any.

pip-audit asks the package index. A mirror may hold packages and no advisories, so a version with
well-known ones is asked for first: silence about it means that the index knows nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

TOOL = Path(".audit")  # an environment of its own: the project needs nothing of it
KNOWN = "jinja2==2.4.1"  # CVE-2014-0012, CVE-2016-10745, CVE-2019-10906 and later ones


def skip(reason: str) -> None:
    """Leave with a word, and without an error."""
    print(f"== audit: skipped: {reason}")
    sys.exit(0)


def advisories(requirements: Path) -> list[str]:
    """Lines of advisories against pinned requirements; nothing is installed."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "found.json"
        command = [TOOL / "bin" / "pip-audit", "-r", requirements, "--no-deps", "--disable-pip"]
        subprocess.run([*command, "-f", "json", "-o", found], capture_output=True, check=False)
        if not found.exists():
            skip("no index of advisories can be reached")
        packages = json.loads(found.read_text())["dependencies"]
    return [
        f"{package['name']} {package['version']}: {one['id']}, fixed in "
        f"{', '.join(one['fix_versions']) or 'no version'}"
        for package in packages
        for one in package.get("vulns", ())
    ]


def main() -> None:
    """Print the advisories; exit code 1 if there are any."""
    if not (TOOL / "bin" / "pip-audit").exists():
        made = [[sys.executable, "-m", "venv", TOOL]]
        made += [[TOOL / "bin" / "python", "-m", "pip", "install", "--quiet", "pip-audit"]]
        if any(subprocess.run(command, check=False).returncode for command in made):
            skip("pip-audit cannot be installed")
    with tempfile.TemporaryDirectory() as folder:
        known = Path(folder) / "known.txt"
        known.write_text(f"{KNOWN}\n")
        if not advisories(known):
            skip(f"the index has no advisories, not even those against {KNOWN}")
    found = advisories(Path("constraints.txt"))
    print("\n".join(found) or "== audit: no known advisories against constraints.txt")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
