"""The three parsers that stand for servers find what the languages' own find, in every hostile body."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from tests.support.body_readers import READERS
from tests.support.hostile_bodies import CASES, MIB

TOO_DEEP = b"[" * 10_000
"""For Python's parser, so for the imitations too; V8 goes on. The gateway stops it long before."""

BODIES = [case.body for case in CASES if len(case.body) <= 2 * MIB and TOO_DEEP not in case.body]

NODE = """
const bytes = require("fs").readFileSync(0), found = [];
for (let at = 0; at < bytes.length; ) {
  const size = bytes.readUInt32BE(at);
  const body = bytes.subarray(at + 4, (at += 4 + size));
  try {
    const { model } = JSON.parse(new TextDecoder().decode(body));
    found.push(typeof model === "string" ? model : null);
  } catch { found.push(null) }
}
console.log(JSON.stringify(found));
"""

GO = """package main

import ("bytes"; "encoding/binary"; "encoding/json"; "io"; "os")

func main() {
	all, _ := io.ReadAll(os.Stdin)
	found := []*string{}
	for len(all) > 0 {
		size := binary.BigEndian.Uint32(all)
		body := all[4 : 4+size]
		all = all[4+size:]
		var read struct{ Model string }
		if json.NewDecoder(bytes.NewReader(body)).Decode(&read) != nil || read.Model == "" {
			found = append(found, nil)
		} else {
			found = append(found, &read.Model)
		}
	}
	json.NewEncoder(os.Stdout).Encode(found)
}
"""


def imitated(language: str) -> list[str | None]:
    found: list[str | None] = []
    for body in BODIES:
        try:
            found.append(READERS[language](body) or None)
        except ValueError:
            found.append(None)
    return found


def asked(command: list[str], folder: Path) -> list[str | None]:
    sent = b"".join(struct.pack(">I", len(body)) + body for body in BODIES)
    done = subprocess.run(command, input=sent, capture_output=True, cwd=folder, timeout=120, check=True)
    answer: list[str | None] = json.loads(done.stdout)
    return answer


def compared(language: str, real: list[str | None]) -> None:
    """An empty name is none to anybody: no model is called so."""
    differing = [
        (body[:80], one, other)
        for body, one, other in zip(BODIES, imitated(language), real, strict=True)
        if one != (other or None)
    ]
    assert differing == []


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node")
def test_javascript(tmp_path: Path) -> None:
    compared("javascript", asked(["node", "-e", NODE], tmp_path))


@pytest.mark.skipif(not shutil.which("go"), reason="needs Go")
def test_go(tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text(GO)
    compared("go", asked(["go", "run", "main.go"], tmp_path))
