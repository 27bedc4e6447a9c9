"""requirements/install.py: what pip knows about the way to packages, uv is told; a wrong machine gets one sentence."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", ROOT / "requirements" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pips_settings_reach_uv(install: ModuleType, tmp_path: Path) -> None:
    listed = "\n".join(
        (
            "global.index-url='https://mirror.example/simple'",
            "global.extra-index-url='\\nhttps://a.example/simple\\nhttps://b.example/simple'",
            f"install.find-links='{tmp_path} /nowhere/at/all https://wheels.example'",
            "global.cert='/etc/corporate.pem'",
            ":env:.default-timeout='180'",
            "global.proxy='http://proxy.example:3128'",
            "list.format='columns'",
        )
    )
    assert install.uv_environment(listed, {}) == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_INDEX": "https://a.example/simple https://b.example/simple",
        "UV_FIND_LINKS": f"{tmp_path},https://wheels.example",
        "SSL_CERT_FILE": "/etc/corporate.pem",
        "UV_HTTP_TIMEOUT": "180",
        "ALL_PROXY": "http://proxy.example:3128",
    }


def test_pips_own_order_counts_and_uvs_own_variables_win(install: ModuleType) -> None:
    listed = ":env:.index-url='https://env.example'\nglobal.index-url='https://file.example'\nglobal.cert='/pip.pem'"
    by_pip = "\n".join(sorted(listed.splitlines(), reverse=True))
    assert install.uv_environment(by_pip, {"SSL_CERT_FILE": "/mine.pem"})["UV_DEFAULT_INDEX"] == "https://env.example"
    assert "SSL_CERT_FILE" not in install.uv_environment(by_pip, {"SSL_CERT_FILE": "/mine.pem"})
    assert install.uv_environment(by_pip, {"UV_DEFAULT_INDEX": "https://uv.example"}) == {"SSL_CERT_FILE": "/pip.pem"}


def checkout(folder: Path) -> Path:
    """What an installation reads, in a folder of its own."""
    (folder / "requirements").mkdir()
    for name in ("install.py", "build.lock", "demo.lock"):
        shutil.copy(ROOT / "requirements" / name, folder / "requirements")
    return folder / "requirements" / "install.py"


def test_an_index_out_of_reach_is_one_sentence_first_and_never_shows_its_password(tmp_path: Path) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PIP_INDEX_URL": "http://user:hunter2@127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_CONFIG_FILE": os.devnull,
    }
    done = subprocess.run(
        [sys.executable, str(checkout(tmp_path)), "demo"], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    first = done.stderr.splitlines()[0]
    assert first.startswith("The package index http://127.0.0.1:9/simple cannot be reached")
    assert "HTTPS_PROXY" in first
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("before", "sentence"),
    [
        ("sys.version_info = (3, 9, 2)", "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ...\n"),
        (
            "sys.modules['ensurepip'] = None",
            "Python's venv module is missing: on Debian and Ubuntu, apt install python3-venv\n",
        ),
    ],
)
def test_a_machine_without_what_is_needed_is_told_so(tmp_path: Path, before: str, sentence: str) -> None:
    script = str(checkout(tmp_path))
    code = (
        f"import runpy, sys\n{before}\nsys.argv = [{script!r}, 'demo']\nrunpy.run_path({script!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, sentence)
    assert not (tmp_path / ".venv").exists()


def test_a_start_compiles_nothing_even_where_python_may_not_leave_bytecode(install: ModuleType, tmp_path: Path) -> None:
    kept = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    writing = {name: value for name, value in kept.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", install.LOAD_EVERYTHING], env=writing, check=True)
    loaded = "import maas_api.server, maas_api.store.database, maas_api.migrations.revisions"
    done = subprocess.run(
        [sys.executable, "-v", "-c", loaded],
        env={**kept, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "# code object from '" in done.stderr, "Python no longer says where it has code from"
    assert [line for line in done.stderr.splitlines() if line.startswith("# code object from /")] == []
