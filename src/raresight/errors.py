"""What can go wrong, as one tree.

::

    RaresightError                 everything raresight raises on purpose
    ├── InputError                 what the user gave cannot be used
    │   ├── DataError              a set, a manifest, its labels or its groups
    │   ├── ImageError             one image
    │   └── OptionError            an option, a name, a setting
    ├── BundleError                a bundle: damaged, changed, of another schema, not a bundle
    ├── RunError                   a run's folder: not a run, another command's, in use, not writable
    ├── LeakageError               something learned, or about to be learned, from rows it must not see
    └── MissingExtraError          an optional dependency is not installed

Every message is one sentence that names the file, row or option and the way out. The command line
prints it and leaves with status 2; ``--debug`` shows the traceback.
"""

from __future__ import annotations


class RaresightError(Exception):
    """Base of everything raresight raises on purpose."""


class InputError(RaresightError):
    """What the user gave cannot be used."""


class DataError(InputError):
    """A set, a manifest, its labels or its groups cannot be used."""


class ImageError(InputError):
    """One image cannot be used; the message is the reason, without the file's name."""


class OptionError(InputError, ValueError):
    """An option, a name or a setting cannot be used."""


class RunError(RaresightError):
    """A run's folder cannot be used."""


class BundleError(RaresightError):
    """A bundle cannot be used."""


class LeakageError(RaresightError):
    """Something was learned, or was about to be, from rows that it must not see."""


class MissingExtraError(RaresightError, ImportError):
    """An optional dependency is not installed; the message says which extra brings it."""
