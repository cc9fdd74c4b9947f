"""From files to pixels: manifest, readers, store, preprocessing, augmentation, phantoms, splits."""

from raresight.registry import Entry, Registry

DATASETS = Registry(
    "dataset",
    {
        "phantom:brain": Entry(
            "raresight.images.phantoms:load_phantom", "made-up T1 brain slices with lesions and their masks"
        ),
        "phantom:fundus": Entry(
            "raresight.images.phantoms:load_phantom",
            "made-up fundus photographs with lesions and their masks",
        ),
    },
)
