"""From files to pixels: manifest, readers, store, preprocessing, augmentation, phantoms, splits."""
