from __future__ import annotations

import shutil
import pathlib

import pytest

from lab.guest import image


def test_every_part_of_the_recipe_counts(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in image.RECIPE:
        shutil.copy(image.HERE / name, tmp_path / name)
    before = image.recipe_hash()
    monkeypatch.setattr(image, "HERE", tmp_path)
    assert image.recipe_hash() == before
    for name in image.RECIPE:
        with (tmp_path / name).open("a") as stream:
            stream.write("# changed\n")
        after = image.recipe_hash()
        assert after != before, name
        before = after


def test_image_in_the_cache_is_not_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_build", lambda target: pytest.fail("built again"))
    image.rootfs().mkdir(parents=True)
    assert image.ensure() == image.rootfs()


def test_interrupted_build_leaves_nothing_that_looks_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, cache: pathlib.Path) -> None:
    (tmp_path / "build.sh").write_text("#!/bin/sh\nmkdir -p \"$1\"; echo 'step: x'; echo broken >&2; exit 3\n")
    (tmp_path / "build.sh").chmod(0o755)
    for name in image.RECIPE[1:]:
        shutil.copy(image.HERE / name, tmp_path / name)
    monkeypatch.setattr(image, "HERE", tmp_path)
    with pytest.raises(image.LabError, match=r"(?s)failed \(3\).*broken"):
        image.ensure()
    assert not image.rootfs().exists() and [p.name for p in (cache / "guest").iterdir()] == [".lock"]
