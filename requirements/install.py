"""Makes ``.venv`` and installs what one of the lock files lists, checked by hash. Standard library only.

    python3 requirements/install.py demo    what the service and its demo need
    python3 requirements/install.py dev     what tests, lint and benchmarks need beside it

uv installs; pip fetches uv. uv reads none of pip's settings, so those that say where packages come from are handed on:
index, proxy, certificates, time limit. uv's own variables win over them. Certificates are the system's, as a network
that inspects TLS needs. What is wrong with the machine is said in one sentence, exit code 1.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BUILD = ROOT / "requirements" / "build.lock"
UV = VENV / "bin" / "uv"
OLDEST = (3, 11)

HANDED_ON = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
    "proxy": "ALL_PROXY",
}
"""pip's setting -> the variable that tells uv the same."""

_UNREACHABLE = re.compile(
    r"error sending request|dns error|failed to lookup|connect(ion)? (error|refused|reset|timed out)|timed? ?out|"
    r"certificate|UnknownIssuer|tunnel|ProxyError|NewConnectionError|Max retries|Temporary failure in name resolution|"
    r"SSLError|Failed to fetch|from versions: none",
    re.IGNORECASE,
)


class InstallError(Exception):
    """The environment cannot be made. The message is for a person, its first sentence says what to do."""


def uv_environment(pip_settings: str, environ: dict[str, str]) -> dict[str, str]:
    """The variables for uv, from the output of ``pip config list`` and this process's own variables."""
    found: dict[str, str] = {}
    for line in pip_settings.splitlines():  # global, then command, then environment: the last one counts, as for pip
        name, _, quoted = line.partition("=")
        section, _, key = name.partition(".")
        if section not in ("global", "install", ":env:") or key not in HANDED_ON:
            continue
        try:
            value = str(ast.literal_eval(quoted))
        except (ValueError, SyntaxError):
            continue
        values = value.split()
        if key == "find-links":  # pip passes over a folder that is not there, uv does not
            values = [place for place in values if "://" in place or Path(place).exists()]
        found[HANDED_ON[key]] = ("," if key == "find-links" else " ").join(values)
    return {name: value for name, value in found.items() if value and not environ.get(name)}


def explained(output: str, index: str) -> str:
    """One sentence where the network is at fault, and what the tool said in any case."""
    said = output.strip()
    if not _UNREACHABLE.search(said):
        return said
    return (
        f"The package index {index} cannot be reached, or does not have what is asked for. Behind a proxy set "
        "HTTPS_PROXY; for a mirror: python3 -m pip config set global.index-url URL; for a network that inspects TLS "
        f"add its certificate to the system's.\n{said}"
    )


def _run(*command: str | Path, environ: dict[str, str], index: str) -> None:
    done = subprocess.run(  # noqa: S603 -- our own commands
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise InstallError(explained(done.stdout, index))


def _make_venv() -> None:
    if sys.version_info < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise InstallError(f"Python {wanted} or newer is needed: make PYTHON=/path/to/python{wanted} ...")
    try:
        import ensurepip  # noqa: F401 -- Debian packs it apart from Python
        import venv
    except ImportError:
        raise InstallError("Python's venv module is missing: on Debian and Ubuntu, apt install python3-venv") from None
    if not (VENV / "bin" / "python").exists():
        print(f"setting up {VENV.name} with Python {sys.version.split()[0]} ...", flush=True)  # noqa: T201
        venv.create(VENV, with_pip=True)
    retries = () if "PIP_RETRIES" in os.environ else ("--retries", "2")
    pip = (VENV / "bin" / "python", "-m", "pip", "--disable-pip-version-check", *retries)
    _run(*pip, "install", "--quiet", "--require-hashes", "-r", BUILD, environ=dict(os.environ), index=_index({}))


def _index(variables: dict[str, str]) -> str:
    for name in ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"):
        value = variables.get(name) or os.environ.get(name)
        if value:
            return re.sub(r"//[^/@]*@", "//", value)  # without a password
    return "https://pypi.org/simple"


def install(lock: str) -> None:
    """Install a lock file's packages and the project itself. Raises InstallError."""
    _make_venv()
    listed = subprocess.run(  # noqa: S603 -- our own pip
        [VENV / "bin" / "python", "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    more = uv_environment(listed.stdout, dict(os.environ))
    environ = {**os.environ, **more, "VIRTUAL_ENV": str(VENV)}
    pip = (UV, "pip", "install", "--quiet", "--system-certs", "--require-hashes", "-r")
    _run(*pip, ROOT / "requirements" / f"{lock}.lock", environ=environ, index=_index(more))
    editable = (UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation", "--editable", ROOT)
    _run(*editable, environ=environ, index=_index(more))
    _compile_what_is_loaded()


LOAD_EVERYTHING = """
import compileall, contextlib, importlib, pkgutil, maas_api
compileall.compile_dir(maas_api.__path__[0], quiet=1)
for module in pkgutil.walk_packages(maas_api.__path__, "maas_api."):
    if not module.name.endswith((".__main__", "migrations.env")):
        with contextlib.suppress(ImportError):  # of an extra that this lock leaves out
            importlib.import_module(module.name)
"""


def _compile_what_is_loaded() -> None:
    """Leave the bytecode of all that the service ever imports, where Python looks for it.

    Python does so by itself, unless PYTHONDONTWRITEBYTECODE is set: then each start would compile everything anew,
    which is most of its time.
    """
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    _run(VENV / "bin" / "python", "-c", LOAD_EVERYTHING, environ=environ, index="")


if __name__ == "__main__":
    try:
        install(sys.argv[1])
    except InstallError as fault:
        sys.exit(str(fault))
