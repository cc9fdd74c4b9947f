"""The manifest: a table, one row an image, and what says how each row is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raresight.errors import DataError, OptionError
from raresight.images.classes import settle_order

Task = Literal["binary", "multiclass"]
Image = NDArray[Any]

NORMAL_NAMES = frozenset(
    {"0", "no", "none", "normal", "healthy", "negative", "benign", "absent", "control", "good"}
    | {"notumor", "no_tumor", "nodr", "no_dr", "no_finding"}
)
"""Labels that are taken for the normal class when a set has exactly two and neither is named."""


WITHOUT_IT = "; the case goes on without it"
"""What is added to the reason for rejecting one of a case's several images."""


class ImageSource(Protocol):
    """How the rows of a manifest are read; one kind a data format.

    A source of cases of several images also has ``modalities``, their names, and
    ``read_modality(row, name)``, which gives None where a case has no such image; `read` then gives the first
    one there is, and `digest` is of them all.

    A source that knows lesions also has ``mask(row)``: (height, width) bool, None where a row's lesion is not
    known, or `ImageError`. Where a mask may change without its image's digest, it has ``mask_digest(row)``.
    """

    def read(self, row: int) -> Image:
        """Decode one row: (height, width) or (height, width, 3), uint8 or uint16; raises `ImageError`."""
        ...

    def digest(self, row: int) -> str:
        """Hash of what `read` would decode: the same content, the same text, on any machine."""
        ...


@dataclass(frozen=True, slots=True)
class Rejected:
    """An image that cannot be used, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class Manifest:
    """A labelled image set; its pixels stay where they are.

    Attributes
    ----------
    table : pandas.DataFrame
        One row an image, index 0 … n − 1, with ``file`` (text, unique) and ``label`` (text), and where
        known ``group`` (text: the patient), ``split`` (text), and further columns.
    source : ImageSource
        Reads row i, i being the position in the manifest as it was loaded (see `positions`).
    name : str
        How the user named the set.
    normal : tuple of str
        The labels that count as normal; empty when the task is multi-class or none was named.
    task : {"binary", "multiclass"}
    rejected : tuple of Rejected
        What was found unusable so far.
    positions : (n,) int64 array
        For each row of `table`, its row in `source`.
    notes : tuple of str
        What was chosen for the user, to be printed.
    order : tuple of str
        The classes of a multi-class task, lowest grade first; empty where they have no known order.
    """

    table: pd.DataFrame
    source: ImageSource
    name: str
    normal: tuple[str, ...] = ()
    task: Task = "binary"
    rejected: tuple[Rejected, ...] = ()
    positions: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    notes: tuple[str, ...] = ()
    order: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.positions) != len(self.table):
            object.__setattr__(self, "positions", np.arange(len(self.table)))

    def __len__(self) -> int:
        return len(self.table)

    @property
    def files(self) -> list[str]:
        """Each image's name, as the user would recognise it."""
        return self.table["file"].tolist()

    @property
    def labels(self) -> NDArray[np.str_]:
        """(n,) the label of each image."""
        return self.table["label"].to_numpy(dtype=np.str_)

    @property
    def classes(self) -> list[str]:
        """The labels that occur: normal ones first, then the rest, each sorted; or in their `order`."""
        found = sorted(set(self.table["label"]))
        if self.order:
            return [c for c in self.order if c in found]
        return [c for c in found if c in self.normal] + [c for c in found if c not in self.normal]

    @property
    def y(self) -> NDArray[np.int64]:
        """(n,) 1 = anomalous, 0 = normal; for a multi-class task the position in `classes`."""
        if self.task == "multiclass":
            code = {label: i for i, label in enumerate(self.classes)}
            return np.array([code[label] for label in self.table["label"]], dtype=np.int64)
        return np.array([label not in self.normal for label in self.table["label"]], dtype=np.int64)

    def groups(self, choice: str = "auto") -> NDArray[np.str_]:
        """Tell which images belong together by what the manifest says.

        Near duplicates are joined to these groups by `raresight.images.grouping.group_images`.

        Parameters
        ----------
        choice : str
            ``"auto"``: the ``group`` column where there is one, else each image by itself; ``"off"``:
            each image by itself; anything else: the name of a column.

        Returns
        -------
        (n,) str array

        Raises
        ------
        OptionError
            If there is no such column.
        """
        if choice not in ("auto", "off") and choice not in self.table:
            raise OptionError(f"no column {choice!r} to group by; there are: {', '.join(self.table.columns)}")
        column = "group" if choice == "auto" else choice
        if choice == "off" or column not in self.table:
            return self.table["file"].to_numpy(dtype=np.str_)
        values = self.table[column]
        return values.where(values.notna(), self.table["file"]).astype(str).to_numpy(dtype=np.str_)

    def parts(self) -> NDArray[np.str_]:
        """Tell which part of the published split each image belongs to: (n,), as the column ``split`` says.

        Raises
        ------
        DataError
            If there is no such column.
        """
        if "split" not in self.table:
            raise DataError(
                f"{self.name} has no column split, so it has no published split; "
                "add one (train, test) or leave out --split published"
            )
        return self.table["split"].fillna("").to_numpy(dtype=np.str_)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Manifest:
        """Keep some rows, in the order given."""
        rows = np.asarray(rows, dtype=np.int64)
        return replace(
            self, table=self.table.iloc[rows].reset_index(drop=True), positions=self.positions[rows]
        )

    def closed(self) -> Manifest:
        """Leave the source behind: what a worker needs that reads pixels from a store."""
        return replace(self, source=ClosedSource())

    @property
    def modalities(self) -> tuple[str, ...]:
        """The names of the images that a case may have; none where a case is one image."""
        return tuple(getattr(self.source, "modalities", ()))

    def read(self, row: int) -> Image:
        """Decode the image of one row; of a case of several the first there is."""
        return self.source.read(int(self.positions[row]))

    def read_modality(self, row: int, name: str) -> Image | None:
        """Decode one of a case's images; None where it has none of that name."""
        source: Any = self.source
        image: Image | None = source.read_modality(int(self.positions[row]), name)
        return image

    def digest(self, row: int) -> str:
        """Hash the content of one row."""
        return self.source.digest(int(self.positions[row]))

    def mask(self, row: int) -> NDArray[np.bool_] | None:
        """Tell what one row's lesion covers, (height, width); None where it is not known."""
        of = getattr(self.source, "mask", None)
        return None if of is None else of(int(self.positions[row]))

    def mask_digest(self, row: int) -> str:
        """Hash one row's mask, as far as the image's own digest doesn't stand for it; empty without one."""
        of = getattr(self.source, "mask_digest", None)
        return "" if of is None else of(int(self.positions[row]))


class ClosedSource:
    """A source that cannot be read."""

    def read(self, row: int) -> Image:
        """Refuse."""
        raise DataError("this manifest was closed; read the images from their store")

    def digest(self, row: int) -> str:
        """Refuse."""
        raise DataError("this manifest was closed; its images cannot be hashed")

    def mask(self, row: int) -> NDArray[np.bool_] | None:
        """Refuse."""
        raise DataError("this manifest was closed; read the masks from its store")


def make_manifest(
    table: pd.DataFrame,
    source: ImageSource,
    name: str,
    *,
    normal: Sequence[str] = (),
    anomaly: Sequence[str] = (),
    task: Task = "binary",
    rejected: Sequence[Rejected] = (),
    need_normal: bool = True,
    order: Sequence[str] = (),
) -> Manifest:
    """Put a manifest together and settle what is normal, or the order of a multi-class task's classes.

    Without `need_normal` a set whose normal class is neither named nor recognised becomes multi-class.

    Raises
    ------
    DataError
        If there is no image, a label is missing, or the classes do not fit the task.
    OptionError
        If a class was named that does not occur.
    """
    if not len(table):
        reasons = f": {rejected[0].file}: {rejected[0].reason}" if rejected else ""
        raise DataError(f"{name} holds no usable image{reasons}")
    table = table.reset_index(drop=True)
    classes = sorted(set(table["label"]))
    notes: tuple[str, ...] = ()
    graded: tuple[str, ...] = ()
    if order and task == "binary":
        raise OptionError("--order names the order of grades; it goes with --task multiclass")
    if task == "multiclass" and not (normal or anomaly):
        graded, note = settle_order(table, order, name)
        notes = (note,)
    if task == "binary" and not (need_normal or normal or anomaly or _recognised(classes)):
        task = "multiclass"
    if task == "binary":
        chosen, notes = _settle_normal(classes, tuple(normal), tuple(anomaly), name)
    else:
        if normal or anomaly:
            raise OptionError("--normal and --anomaly go with a binary task, not with --task multiclass")
        chosen = ()
    if len(classes) < 2:
        raise DataError(
            f"{name} has only the class {classes[0]!r}; a comparison needs normal and anomalous images"
        )
    rows = np.arange(len(table))
    return Manifest(table, source, name, chosen, task, tuple(rejected), rows, notes, graded)


def _settle_normal(
    classes: list[str], normal: tuple[str, ...], anomaly: tuple[str, ...], name: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    unknown = [c for c in (*normal, *anomaly) if c not in classes]
    if unknown:
        raise OptionError(
            f"no image of {name} is labelled {unknown[0]!r}; the classes are: {', '.join(classes)}"
        )
    both = set(normal) & set(anomaly)
    if both:
        raise OptionError(f"{sorted(both)[0]!r} cannot be both normal and an anomaly")
    if normal or anomaly:
        chosen = normal or tuple(c for c in classes if c not in anomaly)
        if len(chosen) == len(classes) and len(classes) > 1:
            raise OptionError(f"every class of {name} is normal; leave one out: {', '.join(classes)}")
        if not chosen and len(classes) > 1:
            raise OptionError(f"every class of {name} is an anomaly; leave one out: {', '.join(classes)}")
        return chosen, ()
    recognised = _recognised(classes)
    if recognised:
        other = next(c for c in classes if c not in recognised)
        return tuple(recognised), (f"taking {recognised[0]!r} as normal and {other!r} as the anomaly",)
    if len(classes) < 2:
        return (), ()
    raise DataError(
        f"say which classes of {name} are normal with --normal; the classes are: {', '.join(classes)}"
    )


def _recognised(classes: list[str]) -> list[str]:
    """Give the one of exactly two classes that has a normal class's name."""
    found = [c for c in classes if c.lower().replace("-", "_").replace(" ", "_") in NORMAL_NAMES]
    return found if len(classes) == 2 and len(found) == 1 else []
