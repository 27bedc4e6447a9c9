"""A watched folder: what an edit, a deletion, a half-written file and a swapped mount do to the stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from maas_api.kube.files import FolderSource
from maas_api.kube.objects import CONFIG_MAP, LLM_INFERENCE_SERVICE, origin_of
from tests.support.wait import until


def config_map(name: str, value: str = "1", namespace: str = "here") -> str:
    return (
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}}}\ndata: {{v: '{value}'}}\n"
    )


@pytest.fixture
def source(tmp_path: Path) -> FolderSource:
    return FolderSource(tmp_path, (CONFIG_MAP, LLM_INFERENCE_SERVICE), default_namespace="mine")


def values(source: FolderSource) -> dict[str, str]:
    return {name: obj["data"]["v"] for (_, name), obj in source.stores[CONFIG_MAP].snapshot().items()}


def settle(source: FolderSource) -> None:
    """Two looks: a change counts when both see it."""
    source.poll()
    source.poll()


def test_the_folders_objects_fill_the_stores_of_their_kinds(source: FolderSource, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(config_map("a") + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\n")
    (tmp_path / "b.yml").write_text(
        "apiVersion: serving.kserve.io/v1alpha2\nkind: LLMInferenceService\nmetadata: {name: m}\n"
    )
    (tmp_path / "notes.txt").write_text("not: [a manifest")
    (tmp_path / ".hidden.yaml").write_text("not: [a manifest")
    source.load()
    assert values(source) == {"a": "1"}
    assert list(source.stores[LLM_INFERENCE_SERVICE].snapshot()) == [("mine", "m")]
    assert [status.state for status in source.status()] == ["live"]


def test_before_the_first_look_it_says_so(source: FolderSource) -> None:
    assert [(status.state, status.synced) for status in source.status()] == [("waiting", False)]


def test_edits_additions_and_deletions_follow(source: FolderSource, tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(config_map("a"))
    source.load()
    first.write_text(config_map("a", "22"))
    second.write_text(config_map("b"))
    settle(source)
    assert values(source) == {"a": "22", "b": "1"}
    first.unlink()
    settle(source)
    assert values(source) == {"b": "1"}


def test_a_file_is_not_read_while_it_is_being_written(source: FolderSource, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(config_map("a") + "---\n" + config_map("b"))
    source.load()
    file.write_text(config_map("a"))  # parses, but the writer is not done
    source.poll()
    assert values(source) == {"a": "1", "b": "1"}
    file.write_text(config_map("a", "22") + "---\n" + config_map("b"))
    source.poll()
    assert values(source) == {"a": "1", "b": "1"}
    source.poll()
    assert values(source) == {"a": "22", "b": "1"}


def test_a_file_that_is_gone_for_one_look_loses_nothing(source: FolderSource, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(config_map("a"))
    source.load()
    file.unlink()
    source.poll()
    file.write_text(config_map("a", "22"))
    source.poll()
    assert values(source) == {"a": "1"}
    source.poll()
    assert values(source) == {"a": "22"}


def test_a_broken_edit_keeps_that_files_last_good_objects_only(
    source: FolderSource, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken, other = tmp_path / "a.yaml", tmp_path / "b.yaml"
    broken.write_text(config_map("a"))
    other.write_text(config_map("b"))
    source.load()
    broken.write_text(config_map("a", "22") + "---\nx: [\n")
    other.write_text(config_map("b", "22"))
    settle(source)
    settle(source)
    assert values(source) == {"a": "1", "b": "22"}
    assert [str(problem) for problem in source.problems()] == [
        f"{broken}:7: is not YAML: while parsing a flow node, did not find expected node content"
    ]
    assert (source.status()[0].state, source.status()[0].synced) == ("stale", True)
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1
    broken.write_text(config_map("a", "333"))
    settle(source)
    assert values(source) == {"a": "333", "b": "22"}
    assert not source.problems()
    assert source.status()[0].state == "live"


def test_a_broken_file_that_goes_away_is_forgotten(source: FolderSource, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("x: [\n")
    source.load()
    assert source.problems()
    file.unlink()
    settle(source)
    assert not source.problems()


def test_the_first_definition_of_an_object_wins_and_the_other_is_named(source: FolderSource, tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("# comment\n" + config_map("a", "late"))
    (tmp_path / "a.yaml").write_text(config_map("a", "early"))
    source.load()
    assert values(source) == {"a": "early"}
    assert [str(problem) for problem in source.problems()] == [
        f"{tmp_path / 'b.yaml'}:2: ConfigMap here/a is already defined at {tmp_path / 'a.yaml'}:1"
    ]
    (tmp_path / "a.yaml").unlink()
    settle(source)
    assert values(source) == {"a": "late"}
    assert not source.problems()


def test_a_mounted_config_map_swaps_all_its_files_at_once(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    for number in ("1", "2"):
        (mount / f"..{number}").mkdir()
        (mount / f"..{number}" / "a.yaml").write_text(config_map("a", number))
    (mount / "..data").symlink_to("..1")
    (mount / "a.yaml").symlink_to(Path("..data") / "a.yaml")
    source = FolderSource(mount, (CONFIG_MAP,), default_namespace="mine")
    source.load()
    (mount / "..next").symlink_to("..2")
    (mount / "..next").rename(mount / "..data")
    settle(source)
    assert values(source) == {"a": "2"}


def test_a_folder_that_cannot_be_read_keeps_everything(tmp_path: Path) -> None:
    folder, away = tmp_path / "folder", tmp_path / "away"
    folder.mkdir()
    (folder / "a.yaml").write_text(config_map("a"))
    now = [100.0]
    source = FolderSource(folder, (CONFIG_MAP,), default_namespace="mine", clock=lambda: now[0])
    source.load()
    folder.rename(away)
    now[0] += 30
    settle(source)
    assert values(source) == {"a": "1"}
    status = source.status()[0]
    assert (status.state, status.age) == ("stale", 30.0)
    assert "cannot be read" in status.detail
    away.rename(folder)
    settle(source)
    assert (values(source), source.status()[0].state) == ({"a": "1"}, "live")


def test_a_file_that_cannot_be_read_is_tried_again(tmp_path: Path) -> None:
    source = FolderSource(tmp_path, (CONFIG_MAP,), default_namespace="mine")
    (tmp_path / "a.yaml").mkdir()  # reading it fails for everyone, root included
    source.load()
    assert "cannot be read" in str(source.problems()[0])
    (tmp_path / "a.yaml").rmdir()
    (tmp_path / "a.yaml").write_text(config_map("a"))
    settle(source)
    assert (values(source), source.problems()) == ({"a": "1"}, [])


def test_text_that_is_not_utf_8_is_a_fault_of_the_file(source: FolderSource, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    source.load()
    assert "must be UTF-8 text" in str(source.problems()[0])


def test_objects_remember_where_they_stand(source: FolderSource, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("# one\n# two\n" + config_map("a"))
    source.load()
    origin = origin_of(next(iter(source.stores[CONFIG_MAP].snapshot().values())))
    assert origin is not None
    assert (origin.file, origin.line) == (str(tmp_path / "a.yaml"), 3)


def test_started_it_follows_by_itself_until_it_is_stopped(tmp_path: Path) -> None:
    source = FolderSource(tmp_path, (CONFIG_MAP,), default_namespace="mine", interval=0.01)
    source.start()
    try:
        (tmp_path / "a.yaml").write_text(config_map("a"))
        until(lambda: values(source) == {"a": "1"}, what="the new file is read")
    finally:
        source.stop()
    source.stop()
