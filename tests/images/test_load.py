"""Every form of a set that can be loaded, without a pixel being decoded."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from raresight.errors import DataError, ImageError, OptionError
from raresight.images.load import load
from raresight.images.sources import ArraySource, FileSource

DATA = Path(os.environ.get("RARESIGHT_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.fixture(autouse=True)
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any decoding while loading fail; `read_image` itself is what rows are read with later."""

    def decode(*_: object, **__: object) -> None:
        pytest.fail("a pixel was decoded while loading")

    monkeypatch.setattr("raresight.images.readers.raster._load", decode)
    monkeypatch.setattr("raresight.images.readers.dicom._decode", decode)
    monkeypatch.setattr("raresight.images.readers.nifti._load_volume", decode)


def png(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 5), value, np.uint8)).save(path, "PNG")
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# --- folders ---------------------------------------------------------------------------------------


def test_a_sub_folder_is_a_class(tmp_path: Path) -> None:
    for i in range(3):
        png(tmp_path / "no" / f"{i}.png")
        png(tmp_path / "yes" / f"{i}.png")
    images = load(tmp_path)
    assert images.files == [f"{label}/{i}.png" for label in ("no", "yes") for i in range(3)]
    assert images.labels.tolist() == ["no"] * 3 + ["yes"] * 3
    assert images.normal == ("no",) and images.notes
    assert images.y.tolist() == [0] * 3 + [1] * 3
    assert list(images.table.columns) == ["file", "label"]
    assert not images.rejected and images.name == str(tmp_path)


def test_parts_of_a_set_become_the_split_column(tmp_path: Path) -> None:
    for part in ("Training", "test", "valid"):
        for label in ("healthy", "tumour"):
            png(tmp_path / part / label / "a.png")
    images = load(tmp_path)
    assert images.table.set_index("file")["split"].to_dict() == {
        f"{part}/{label}/a.png": name
        for part, name in (("Training", "train"), ("test", "test"), ("valid", "val"))
        for label in ("healthy", "tumour")
    }
    assert images.classes == ["healthy", "tumour"]


def test_parts_beside_other_folders_are_an_error(tmp_path: Path) -> None:
    png(tmp_path / "train" / "no" / "a.png")
    png(tmp_path / "more" / "b.png")
    with pytest.raises(DataError, match=r"parts of a set \(train\) beside other folders \(more\)"):
        load(tmp_path)


def test_hidden_and_companion_files_are_ignored_and_others_listed(tmp_path: Path) -> None:
    png(tmp_path / "no" / "a.png")
    png(tmp_path / "yes" / "b.PNG")
    for name in (".DS_Store", "Thumbs.db", "README.md", "readme.txt", "SHA256SUMS", "a.png.md5", "LICENSE"):
        write(tmp_path / "no" / name, "text")
    write(tmp_path / ".git" / "a.png", "text")
    write(tmp_path / "__MACOSX" / "a.png", "text")
    write(tmp_path / "no" / "notes.txt", "text")
    write(tmp_path / "no" / "moving.gif", "GIF89a")
    write(tmp_path / "no" / "empty.png", "")
    png(tmp_path / "stray.png")
    images = load(tmp_path)
    assert images.files == ["no/a.png", "yes/b.PNG"]
    reasons = {rejected.file: rejected.reason for rejected in images.rejected}
    assert set(reasons) == {"no/notes.txt", "no/moving.gif", "no/empty.png", "stray.png"}
    assert reasons["no/empty.png"] == "the file is empty"
    assert "none of the formats" in reasons["no/notes.txt"]
    assert "outside the class folders" in reasons["stray.png"]


def test_folders_below_a_class_become_a_column_to_group_by(tmp_path: Path) -> None:
    for patient in ("p1", "p2"):
        for i in range(2):
            png(tmp_path / "no" / patient / f"{i}.png")
            png(tmp_path / "yes" / patient / f"{i}.png")
    images = load(tmp_path)
    assert images.table["folder"].tolist() == ["p1", "p1", "p2", "p2"] * 2
    assert "group" not in images.table
    assert load(tmp_path, group="folder").groups().tolist() == ["p1", "p1", "p2", "p2"] * 2


def test_a_file_without_a_known_ending_is_told_by_its_content(tmp_path: Path) -> None:
    png(tmp_path / "no" / "scan")
    png(tmp_path / "yes" / "scan.bak")
    assert load(tmp_path).files == ["no/scan", "yes/scan.bak"]


# --- label files -----------------------------------------------------------------------------------


def labelled(folder: Path, text: str, files: int = 4) -> Path:
    for i in range(files):
        png(folder / "images" / f"{i}.png", i)
    write(folder / "labels.csv", text)
    return folder


def test_folder_with_labels_csv(tmp_path: Path) -> None:
    labelled(
        tmp_path,
        "file,label,split,age,scanner,code\n"
        "images/0.png,No,,61,A,007\nimages/1.png,None,train,,B,1\nimages/2.png,1,test,44.5,NA,2\n",
    )
    images = load(tmp_path, normal=["No"])
    assert images.labels.tolist() == ["No", "None", "1"]  # neither None nor NA is a missing value
    assert images.table["split"].isna().tolist() == [True, False, False]
    assert images.table["split"].tolist()[1:] == ["train", "test"]
    assert images.table["age"].isna().tolist() == [False, True, False]
    assert images.table["age"].dtype == np.float64
    assert images.table["scanner"].tolist() == ["A", "B", "NA"]
    assert images.table["code"].tolist() == ["007", "1", "2"]


def test_numbers_as_labels_are_text(tmp_path: Path) -> None:
    labelled(tmp_path, "file,label\nimages/0.png,0\nimages/1.png,1\nimages/2.png,4\n")
    assert load(tmp_path, task="multiclass").classes == ["0", "1", "4"]
    table = pd.DataFrame({"file": [f"images/{i}.png" for i in range(3)], "label": [0.0, 1.0, 4.0]})
    table.to_parquet(tmp_path / "grades.parquet")
    assert load(tmp_path / "grades.parquet", normal=["0"]).classes == ["0", "1", "4"]


@pytest.mark.parametrize("column", ["patient", "patient_id", "group", "Patient_ID"])
def test_patient_columns_become_the_group(tmp_path: Path, column: str) -> None:
    labelled(tmp_path, f"file,label,{column}\nimages/0.png,no,007\nimages/1.png,yes,007\nimages/2.png,no,\n")
    images = load(tmp_path)  # a group that holds both classes is fine
    assert images.groups().tolist() == ["007", "007", "images/2.png"]


def test_group_names_a_column_and_its_values_stay_as_they_are_written(tmp_path: Path) -> None:
    labelled(
        tmp_path,
        "file,label,patient,site\nimages/0.png,no,1,1.10\nimages/1.png,yes,2,1.1\nimages/2.png,no,3,1.10\n",
    )
    assert load(tmp_path, group="site").groups().tolist() == ["1.10", "1.1", "1.10"]
    with pytest.raises(
        OptionError, match="no column 'sitte' to group by; there are: file, label, patient, site"
    ):
        load(tmp_path, group="sitte")


@pytest.mark.parametrize(
    ("encoding", "delimiter"), [("utf-8", ","), ("utf-8-sig", ";"), ("utf-16", "\t"), ("utf-8", ";")]
)
def test_what_spreadsheets_write_is_read(tmp_path: Path, encoding: str, delimiter: str) -> None:
    labelled(tmp_path, "")
    rows = [["File", "Label"], ["images/0.png", "gesund"], ["images/1.png", "auffällig"]]
    text = "\r\n".join(delimiter.join(row) for row in rows) + "\r\n\r\n"
    (tmp_path / "labels.csv").write_bytes(text.encode(encoding))
    assert load(tmp_path, normal=["gesund"]).labels.tolist() == ["gesund", "auffällig"]


def test_manifests_by_themselves_as_csv_and_parquet(tmp_path: Path) -> None:
    elsewhere = png(tmp_path / "elsewhere" / "far.png")
    png(tmp_path / "set" / "near.png")
    table = pd.DataFrame({"file": ["near.png", str(elsewhere)], "label": ["no", "yes"], "age": [3, 4]})
    table.to_csv(tmp_path / "set" / "m.csv", index=False)
    table.to_parquet(tmp_path / "set" / "m.parquet")
    for name in ("m.csv", "m.parquet"):
        images = load(str(tmp_path / "set" / name))
        assert images.files == ["near.png", str(elsewhere)]
        assert images.table["age"].tolist() == [3, 4]
        assert isinstance(images.source, FileSource)
        assert images.source.paths[1] == elsewhere


def test_the_only_table_of_a_folder_is_its_manifest(tmp_path: Path) -> None:
    labelled(tmp_path, "file,label\nimages/0.png,no\nimages/1.png,yes\n")
    (tmp_path / "labels.csv").rename(tmp_path / "manifest.csv")
    assert load(tmp_path).files == ["images/0.png", "images/1.png"]


def test_a_stray_table_beside_class_folders_is_no_manifest(tmp_path: Path) -> None:
    png(tmp_path / "no" / "a.png")
    png(tmp_path / "yes" / "b.png")
    write(tmp_path / "scanners.csv", "name,year\nA,2001\n")
    images = load(tmp_path)
    assert images.files == ["no/a.png", "yes/b.png"]
    assert [rejected.file for rejected in images.rejected] == ["scanners.csv"]


# --- several images in a file ----------------------------------------------------------------------


def test_tiff_pages_are_rows_of_one_group(tmp_path: Path) -> None:
    pages = [Image.new("L", (4, 4), value) for value in range(3)]
    (tmp_path / "yes").mkdir()
    pages[0].save(tmp_path / "yes" / "stack.tif", save_all=True, append_images=pages[1:])
    png(tmp_path / "no" / "single.png")
    images = load(tmp_path)
    assert images.files == ["no/single.png", "yes/stack.tif#0", "yes/stack.tif#1", "yes/stack.tif#2"]
    assert images.groups().tolist() == ["no/single.png", *["yes/stack.tif"] * 3]


def test_single_frames_can_be_labelled(tmp_path: Path) -> None:
    pages = [Image.new("L", (4, 4), value) for value in range(3)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    write(tmp_path / "labels.csv", "file,label\nstack.tif#0,no\nstack.tif#2,yes\n")
    images = load(tmp_path)
    assert images.files == ["stack.tif#0", "stack.tif#2"]
    assert images.groups().tolist() == ["stack.tif", "stack.tif"]
    assert isinstance(images.source, FileSource)
    assert images.source.frames == [0, 2]


def test_dicom_frames_are_rows_of_one_group_and_other_objects_are_rejected(tmp_path: Path) -> None:
    data = pytest.importorskip("pydicom.data")
    pytest.importorskip("gdcm")
    names = {"SC_rgb_rle_2frame.dcm": "yes", "MR_small.dcm": "no", "test-SR.dcm": "no"}
    for name in names:
        source = Path(str(data.get_testdata_file(name, download=False)))
        (tmp_path / name).write_bytes(source.read_bytes())
    write(
        tmp_path / "labels.csv",
        "file,label,patient\n" + "".join(f"{name},{label},\n" for name, label in names.items()),
    )
    images = load(tmp_path)
    assert images.files == ["SC_rgb_rle_2frame.dcm#0", "SC_rgb_rle_2frame.dcm#1", "MR_small.dcm"]
    assert images.groups().tolist() == ["SC_rgb_rle_2frame.dcm"] * 2 + ["MR_small.dcm"]
    assert [(r.file, r.reason) for r in images.rejected] == [
        ("test-SR.dcm", "it is a DICOM object without pixel data")
    ]


def test_volumes_become_slices_by_axis_and_stride(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    for label in ("no", "yes"):
        (tmp_path / label).mkdir()
        volume = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4))
        volume.to_filename(tmp_path / label / "v.nii.gz")
    images = load(tmp_path, stride=2)
    assert images.files == [f"{label}/v.nii.gz#{k}" for label in ("no", "yes") for k in (0, 2, 4)]
    assert images.groups().tolist() == ["no/v.nii.gz"] * 3 + ["yes/v.nii.gz"] * 3
    assert len(load(tmp_path, axis=0)) == 8 and len(load(tmp_path, axis=1)) == 10


# --- MedMNIST, phantoms ----------------------------------------------------------------------------


def test_medmnist_archive(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 5), ("val", 2), ("test", 3)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, 6, 7, 3), np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % 2)[:, None].astype(np.uint8)
    np.savez_compressed(tmp_path / "toy.npz", **arrays)
    images = load(tmp_path / "toy.npz")
    assert images.files[0] == "train/0" and images.files[-1] == "test/2"
    assert images.table["split"].value_counts().to_dict() == {"train": 5, "test": 3, "val": 2}
    assert images.labels.tolist() == ["0", "1", "0", "1", "0", "0", "1", "0", "1", "0"]
    assert images.normal == ("0",)
    np.testing.assert_array_equal(images.read(6), arrays["val_images"][1])
    np.testing.assert_array_equal(images.read(7), arrays["test_images"][0])
    assert len({images.digest(row) for row in range(10)}) == 10
    assert images.digest(6) == ArraySource(arrays["val_images"]).digest(1)


def test_phantoms_are_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    phantoms = pytest.importorskip("raresight.images.phantoms")
    asked: list[str] = []
    table = pd.DataFrame({"file": ["a", "b"], "label": ["normal", "lesion"], "patient": ["1", "2"]})

    def load_phantom(spec: str) -> tuple[pd.DataFrame, ArraySource]:
        asked.append(spec)
        return table, ArraySource(np.zeros((2, 4, 4), np.uint8))

    monkeypatch.setattr(phantoms, "load_phantom", load_phantom)
    images = load("phantom:brain?n=2&seed=3")
    assert asked == ["phantom:brain?n=2&seed=3"]
    assert images.normal == ("normal",) and images.groups().tolist() == ["1", "2"]


# --- options and sources ---------------------------------------------------------------------------


def test_classes_may_be_given_as_one_text(tmp_path: Path) -> None:
    for label in ("a", "b", "c"):
        png(tmp_path / label / "x.png")
    assert load(tmp_path, normal="a,b").normal == ("a", "b")
    assert load(tmp_path, anomaly=["c"]).normal == ("a", "b")


def test_options_that_make_no_sense_are_named(tmp_path: Path) -> None:
    for options, message in (
        ({"axis": 3}, "not 3"),
        ({"stride": 0}, "at least 1"),
        ({"max_pixels": 0}, "at least 1"),
        ({"task": "regression"}, "unknown task 'regression'"),
    ):
        with pytest.raises(OptionError, match=message):
            load(tmp_path, **options)


def test_digest_follows_content_and_frame_and_not_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, twin, other = (png(tmp_path / name, value) for name, value in (("a", 1), ("b", 1), ("c", 2)))
    source = FileSource([one, twin, other, one], [0, 0, 0, 1])
    digests = [source.digest(row) for row in range(4)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    assert all(len(digest) == 32 and int(digest, 16) >= 0 for digest in digests)
    hashed: list[Path] = []
    monkeypatch.setattr("raresight.images.sources._hash_file", lambda path: hashed.append(path) or b"")
    source.digest(0)
    assert not hashed  # a file is hashed once
    png(one, 200).write_bytes(one.read_bytes() + b"more")
    source.digest(0)
    assert hashed == [one]  # and again when it was changed
    other.unlink()
    with pytest.raises(ImageError, match="missing"):
        source.digest(2)


@pytest.mark.parametrize("kind", ["<u2", ">u2", "u1"])
def test_array_rows_are_native_whatever_the_array_is(kind: str) -> None:
    values = np.arange(24).reshape(2, 3, 4)
    source = ArraySource(values.astype(kind))
    assert source.read(1).dtype.isnative
    np.testing.assert_array_equal(source.read(1), values[1])
    if kind != "u1":
        assert source.digest(1) == ArraySource(values.astype("u2")).digest(1)


def test_real_sets_load_in_well_under_a_second() -> None:
    if not (DATA / "aptos2019").is_dir():
        pytest.skip(f"no image sets at {DATA}")
    load(DATA / "brain_tumor_yesno")  # imports
    start = time.process_time()  # what loading costs, whatever else the machine is doing
    images = load(DATA / "aptos2019", normal=["No_DR"])
    assert time.process_time() - start < 1.0
    assert len(images) == 3662 and not images.rejected
    assert int((images.y == 0).sum()) == 1805
    by_folder = load(DATA / "aptos2019" / "images", normal=["No_DR"])
    assert sorted(f"images/{file}" for file in by_folder.files) == sorted(images.files)
