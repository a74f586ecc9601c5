"""Which extra of the package brings a module that is not installed."""

from __future__ import annotations

PROJECT = "dfpg-bench"
# Modules whose names are not those of their packages.
MODULES = {
    "dlib-bin": "dlib",
    "opencv-python": "cv2",
    "pillow": "PIL",
    "ruamel.yaml": "ruamel",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
}


def missing_module_line(name: str) -> str | None:
    """One line that says how to install a module that could not be imported.

    Args:
        name: the module, with dots where it lies in a package.

    Returns:
        The line, or None where the module is in no package that this project names.
    """
    # Both take as long as all else that the command line imports.
    from importlib import metadata

    from packaging.requirements import Requirement

    try:
        facts = metadata.metadata(PROJECT)
    except metadata.PackageNotFoundError:
        return None
    module = name.partition(".")[0]
    for requirement in map(Requirement, facts.get_all("Requires-Dist") or []):
        if MODULES.get(requirement.name, requirement.name) != module:
            continue
        if requirement.marker is None:
            return f"{requirement.name} is not installed: run `pip install -e .` in the clone"
        for extra in facts.get_all("Provides-Extra") or []:
            if requirement.marker.evaluate({"extra": extra}):
                how = f"run `pip install -e '.[{extra}]'` in the clone"
                return f"{requirement.name} is not installed: {how}"
    return None
