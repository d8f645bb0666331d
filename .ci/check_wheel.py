"""Takes a wheel of this checkout; fails unless it holds all of src/jevons and no .pth file (code that runs at Python's start)."""

import sys
import zipfile
from pathlib import Path


def main(wheel: str) -> None:
    """Compare the wheel's names with the source tree."""
    names = set(zipfile.ZipFile(wheel).namelist())
    source = Path(__file__).parent.parent / "src"
    expected = {
        path.relative_to(source).as_posix()
        for path in source.glob("jevons/**/*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    kinds = sorted({Path(name).suffix for name in expected})
    if missing := sorted(expected - names):
        sys.exit(f"{wheel} lacks {', '.join(missing)}")
    if alien := sorted(name for name in names - expected if ".dist-info/" not in name or name.endswith(".pth")):
        sys.exit(f"{wheel} holds what it should not: {', '.join(alien)}")
    print(f"{Path(wheel).name}: {len(expected)} files of kinds {' '.join(kinds)}, no .pth")


if __name__ == "__main__":
    main(sys.argv[1])
