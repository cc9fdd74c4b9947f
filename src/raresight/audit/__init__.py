"""What in a set could fool a model: shortcut probes, label errors, and the audit as a whole."""

from raresight.registry import Entry, Registry

_PROBES = "raresight.audit.probes"

PROBES = Registry(
    "probe",
    {
        "files": Entry("raresight.audit.facts:FileFacts", "the file's size, format and compression alone"),
        "border": Entry(f"{_PROBES}:border", "the shape of the black border alone"),
        "background": Entry(f"{_PROBES}:background", "the background outside the anatomy alone"),
        "histogram": Entry(f"{_PROBES}:histogram", "the histogram of grey levels or colours alone"),
        "blur": Entry(f"{_PROBES}:blur", "a thumbnail of 8 × 8 pixels alone"),
        "corners": Entry(f"{_PROBES}:corners", "the four corners alone"),
        "text": Entry(f"{_PROBES}:text", "burned-in text and marks alone"),
    },
)
"""Each makes features of something that holds no pathology; ``files`` of the files, the others of pixels."""
