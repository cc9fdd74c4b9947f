"""Sets that cannot be loaded as they are: one sentence, with the way out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raresight.errors import DataError, ImageError
from raresight.images.load import load
from raresight.images.sources import ArraySource


def png(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4)).save(path, "PNG")
    return path


def labelled(folder: Path, text: str | bytes) -> Path:
    for i in range(4):
        png(folder / f"{i}.png")
    (folder / "labels.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def message_of(data: Path, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        load(data, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_empty_folder(tmp_path: Path) -> None:
    assert message_of(tmp_path) == f"{tmp_path} is empty"
    (tmp_path / ".hidden").touch()
    assert message_of(tmp_path) == f"{tmp_path} is empty"
    (tmp_path / "yes").mkdir()
    assert "holds no usable image" in message_of(tmp_path)


def test_folder_of_images_without_classes(tmp_path: Path) -> None:
    png(tmp_path / "a.png")
    assert "neither a sub-folder a class nor a labels.csv" in message_of(tmp_path)


def test_folder_with_one_class(tmp_path: Path) -> None:
    png(tmp_path / "no" / "a.png")
    assert "only the class 'no'" in message_of(tmp_path)


def test_missing_path_suggests_what_is_near(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    assert f"did you mean {tmp_path / 'scans'}?" in message_of(tmp_path / "scanns")
    assert message_of(tmp_path / "x") == f"there is no {tmp_path / 'x'}"
    assert "does not exist either" in message_of(tmp_path / "y" / "z")


def test_a_single_image_is_no_set(tmp_path: Path) -> None:
    assert "is no image set: give a folder" in message_of(png(tmp_path / "a.png"))


def test_missing_files_are_rejected_and_the_rest_carried_on(tmp_path: Path) -> None:
    labelled(tmp_path, "file,label\n0.png,no\ngone.png,yes\n1.png,yes\n")
    images = load(tmp_path)
    assert images.files == ["0.png", "1.png"]
    assert [(r.file, r.reason) for r in images.rejected] == [("gone.png", "the file is missing")]


def test_all_files_missing(tmp_path: Path) -> None:
    labelled(tmp_path, "file,label\nx.png,no\ny.png,yes\n")
    message = message_of(tmp_path)
    assert "none of the 2 files" in message and "x.png: the file is missing" in message
    assert f"names are relative to {tmp_path}" in message


def test_file_named_twice(tmp_path: Path) -> None:
    labelled(tmp_path, "file,label\n0.png,no\n1.png,yes\n./0.png,yes\n")
    assert "twice (line 2 and line 4), as 'no' and as 'yes': keep the row" in message_of(tmp_path)
    labelled(tmp_path, "file,label\n0.png,no\n1.png,yes\n\n0.png,no\n")
    assert "names 0.png twice (line 2 and line 5): remove one" in message_of(tmp_path)
    labelled(tmp_path, f"file,label\n0.png,no\n{tmp_path / '0.png'},yes\n")
    assert "twice (line 2 and line 3)" in message_of(tmp_path)


def test_file_named_as_a_whole_and_by_its_frame(tmp_path: Path) -> None:
    labelled(tmp_path, "file,label\n0.png,no\n1.png,yes\n0.png#0,yes\n")
    assert "names 0.png as a whole and also its frame 0" in message_of(tmp_path)


def test_rows_without_a_label_or_a_file(tmp_path: Path) -> None:
    labelled(tmp_path, "file,label\n0.png,no\n1.png,\n2.png, \n3.png,yes\n")
    assert "has 2 rows without a label, the first in line 3 (1.png): fill in or remove" in message_of(
        tmp_path
    )
    labelled(tmp_path, "file,label\n0.png,no\n,yes\n")
    assert "has 1 row without a file, the first in line 3" in message_of(tmp_path)


def test_missing_columns_are_named_with_those_there_are(tmp_path: Path) -> None:
    labelled(tmp_path, "path,diagnosis,age\n0.png,no,3\n")
    assert "no column file and no column label; its columns are: path, diagnosis, age" in message_of(tmp_path)
    labelled(tmp_path, "file,diagnosis\n0.png,no\n")
    assert "no column label" in message_of(tmp_path)


def test_damaged_label_files(tmp_path: Path) -> None:
    labelled(tmp_path, b"file,label\n0.png,no\n1.png,auff\xe4llig\n")
    assert "is not UTF-8 text (line 3): save it as CSV UTF-8" in message_of(tmp_path)
    labelled(tmp_path, "file,label\n0.png,no,extra\n")
    assert "3 cells in line 2 and 2 columns" in message_of(tmp_path)
    labelled(tmp_path, "file,label,Label\n0.png,no,yes\n")
    assert "two columns of the same name" in message_of(tmp_path)
    labelled(tmp_path, "")
    assert "is empty" in message_of(tmp_path)
    labelled(tmp_path, "file,label\n")
    assert "has no rows" in message_of(tmp_path)
    (tmp_path / "m.parquet").write_bytes(b"not parquet at all")
    assert "cannot be read as Parquet" in message_of(tmp_path / "m.parquet")


@pytest.mark.parametrize("name", ["../../etc/passwd", "images/../../outside.png", "/etc/passwd"])
def test_files_outside_the_folder_are_rejected_unread(tmp_path: Path, name: str) -> None:
    png(tmp_path / "outside.png")
    folder = labelled(tmp_path / "set", f"file,label\n0.png,no\n1.png,yes\n{name},yes\n")
    images = load(folder)
    assert images.files == ["0.png", "1.png"]
    assert images.rejected[0].file == name
    assert "outside the label file's folder" in images.rejected[0].reason


def test_relative_paths_may_not_lead_out_of_a_manifests_folder_either(tmp_path: Path) -> None:
    png(tmp_path / "outside.png")
    labelled(tmp_path / "set", "file,label\n0.png,no\n1.png,yes\n../outside.png,yes\n")
    images = load(tmp_path / "set" / "labels.csv")
    assert [r.file for r in images.rejected] == ["../outside.png"]


def test_names_no_file_can_have_are_rejected(tmp_path: Path) -> None:
    long = "x" * 5000
    labelled(tmp_path, f"file,label\n0.png,no\n1.png,yes\n{long},yes\na\0b,no\n.,no\n")
    assert len(load(tmp_path).rejected) == 3


def test_unreadable_pixels_are_left_to_the_store_and_refused_on_reading(tmp_path: Path) -> None:
    for label in ("no", "yes"):
        png(tmp_path / label / "good.png")
    (tmp_path / "no" / "text.png").write_text("not an image")
    content = (tmp_path / "no" / "good.png").read_bytes()
    (tmp_path / "yes" / "half.png").write_bytes(content[: len(content) // 2])
    images = load(tmp_path)
    assert len(images) == 4
    for row, file in enumerate(images.files):
        if "good" in file:
            assert images.read(row).shape == (4, 4)
        else:
            with pytest.raises(ImageError):
                images.read(row)


# --- arrays ----------------------------------------------------------------------------------------


def npz(path: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    np.savez(path, train_images=images, train_labels=labels)
    return path


def test_nan_in_an_array_names_the_row(tmp_path: Path) -> None:
    images = np.zeros((4, 5, 5), np.float32)
    images[2, 1, 1] = np.nan
    labels = np.array([[0], [1], [0], [1]])
    assert "row 2 of" in message_of(npz(tmp_path / "a.npz", images, labels))
    images[2, 1, 1] = 0
    assert "holds float32 values; convert them to uint8" in message_of(
        npz(tmp_path / "b.npz", images, labels)
    )
    with pytest.raises(DataError, match="row 1 of the array holds NaN"):
        ArraySource(np.array([[[0.0]], [[np.nan]]]))
    with pytest.raises(DataError, match="int64"):
        ArraySource(np.zeros((2, 3, 3), np.int64))


def test_archives_of_other_shapes(tmp_path: Path) -> None:
    path, ones = tmp_path / "a.npz", np.ones((3, 4, 4), np.uint8)
    assert "2 labels an image" in message_of(npz(path, ones, np.zeros((3, 2), int)))
    assert "3 labels are expected" in message_of(npz(path, ones, np.zeros((4, 1), int)))
    assert "images must be" in message_of(npz(path, np.ones((3, 4, 4, 4), np.uint8), np.zeros((3, 1), int)))
    labels = np.array([[0.0], [np.nan], [1.0]])
    assert "holds nan in row 1" in message_of(npz(path, ones, labels))
    assert "more than the limit" in message_of(npz(path, ones, np.array([0, 1, 0])), max_pixels=15)


def test_archives_of_something_else(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=np.zeros(3), y=np.zeros(3))
    assert "has no array train_images, as MedMNIST has; it has: X, y" in message_of(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"not a zip")
    assert "damaged or no NumPy archive" in message_of(tmp_path / "b.npz")
    pickled = np.array([{"a": 1}] * 3, dtype=object)
    np.savez(tmp_path / "c.npz", train_images=np.zeros((3, 4, 4), np.uint8), train_labels=pickled)
    assert "pickled" in message_of(tmp_path / "c.npz")


def test_damaged_array_is_refused_row_by_row(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 100, 100), np.uint8)
    path = npz(tmp_path / "a.npz", images, np.arange(10) % 2)
    content = bytearray(path.read_bytes())
    content[content.index(images[5].tobytes())] ^= 0xFF
    path.write_bytes(content)
    found = load(path)
    for row in range(2):
        with pytest.raises(ImageError, match="train_images is damaged"):
            found.read(row)
