"""The archives that SageMaker would upload."""

from __future__ import annotations

import tarfile
from pathlib import Path

from local_test.upload import merge, upload
from tests.support.tree import write_files


def names_in(archive: Path) -> list[str]:
    with tarfile.open(archive) as opened:
        return opened.getnames()


def test_models_of_hosts_are_merged_and_clashes_reported(tmp_path: Path) -> None:
    write_files(tmp_path / "a", {"same": "1", "clash": "a", "only/a": "a", "kind": "a file"})
    write_files(tmp_path / "b", {"same": "1", "clash": "b", "only/b": "b", "kind/of": "a folder"})
    (tmp_path / "b/link").symlink_to("same")
    target = tmp_path / "target"
    target.mkdir()
    clashes = merge({"algo-1": tmp_path / "a", "algo-2": tmp_path / "b"}, target)
    assert [clash.split()[0] for clash in clashes] == ["clash", "kind"]
    assert clashes[0] == "clash differs between algo-1, whose is kept, and algo-2"
    assert (target / "clash").read_text() == "a"
    assert (target / "kind").read_text() == "a file"
    assert sorted(path.name for path in (target / "only").iterdir()) == ["a", "b"]
    assert (target / "link").readlink() == Path("same")


def test_archives_have_no_leading_folder_and_empty_ones_are_omitted(tmp_path: Path) -> None:
    write_files(tmp_path / "ml", {"model/1/saved_model.pb": "x", "output/data/report.html": "x", "output/failure": "x"})
    (tmp_path / "ml/checkpoints").mkdir()
    (tmp_path / "scratch").mkdir()
    write_files(tmp_path / "uploaded", {"model.tar.gz": "of an older run"})
    target = tmp_path / "uploaded"
    ml = tmp_path / "ml"
    assert not upload(target, ml / "model", {"algo-1": ml}, ml / "checkpoints", tmp_path / "scratch")
    assert sorted(path.name for path in target.iterdir()) == ["model.tar.gz", "output.tar.gz"]
    assert names_in(target / "model.tar.gz") == ["1", "1/saved_model.pb"]
    assert names_in(target / "output.tar.gz") == ["report.html"]
