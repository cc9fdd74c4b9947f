"""What a node takes: classes of images, and how they may be encoded; negotiation refuses all else."""

from __future__ import annotations

from typing import Any

IMAGES = (
    "ComputedRadiographyImageStorage",
    "DigitalXRayImageStorageForPresentation",
    "DigitalXRayImageStorageForProcessing",
    "DigitalMammographyXRayImageStorageForPresentation",
    "DigitalMammographyXRayImageStorageForProcessing",
    "DigitalIntraOralXRayImageStorageForPresentation",
    "DigitalIntraOralXRayImageStorageForProcessing",
    "CTImageStorage",
    "EnhancedCTImageStorage",
    "LegacyConvertedEnhancedCTImageStorage",
    "MRImageStorage",
    "EnhancedMRImageStorage",
    "EnhancedMRColorImageStorage",
    "LegacyConvertedEnhancedMRImageStorage",
    "UltrasoundImageStorage",
    "UltrasoundMultiFrameImageStorage",
    "SecondaryCaptureImageStorage",
    "MultiFrameGrayscaleByteSecondaryCaptureImageStorage",
    "MultiFrameGrayscaleWordSecondaryCaptureImageStorage",
    "MultiFrameTrueColorSecondaryCaptureImageStorage",
    "XRayAngiographicImageStorage",
    "EnhancedXAImageStorage",
    "XRayRadiofluoroscopicImageStorage",
    "EnhancedXRFImageStorage",
    "XRay3DAngiographicImageStorage",
    "XRay3DCraniofacialImageStorage",
    "BreastTomosynthesisImageStorage",
    "BreastProjectionXRayImageStorageForPresentation",
    "BreastProjectionXRayImageStorageForProcessing",
    "NuclearMedicineImageStorage",
    "PositronEmissionTomographyImageStorage",
    "EnhancedPETImageStorage",
    "LegacyConvertedEnhancedPETImageStorage",
    "OphthalmicPhotography8BitImageStorage",
    "OphthalmicPhotography16BitImageStorage",
    "OphthalmicTomographyImageStorage",
    "WideFieldOphthalmicPhotographyStereographicProjectionImageStorage",
    "WideFieldOphthalmicPhotography3DCoordinatesImageStorage",
    "OphthalmicOpticalCoherenceTomographyEnFaceImageStorage",
    "IntravascularOpticalCoherenceTomographyImageStorageForPresentation",
    "IntravascularOpticalCoherenceTomographyImageStorageForProcessing",
    "VLEndoscopicImageStorage",
    "VLMicroscopicImageStorage",
    "VLSlideCoordinatesMicroscopicImageStorage",
    "VLPhotographicImageStorage",
    "DermoscopicPhotographyImageStorage",
    "ConfocalMicroscopyImageStorage",
    "RTImageStorage",
)
"""Names of storage SOP classes (PS3.4 B.5)."""

VERIFICATION = "1.2.840.10008.1.1"
"""The class of C-ECHO."""

SYNTAXES = (
    "1.2.840.10008.1.2.1",  # explicit, little endian
    "1.2.840.10008.1.2",  # implicit
    "1.2.840.10008.1.2.2",  # explicit, big endian
    "1.2.840.10008.1.2.1.99",  # deflated
    "1.2.840.10008.1.2.5",  # RLE
    "1.2.840.10008.1.2.4.50",  # JPEG
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",  # JPEG-LS
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",  # JPEG 2000
    "1.2.840.10008.1.2.4.91",
)
"""Transfer syntaxes, those first that cost the least to read."""


def image_classes() -> list[str]:
    """Give the UIDs of `IMAGES`."""
    from pynetdicom import sop_class

    return [str(getattr(sop_class, name)) for name in IMAGES]


def offer(entity: Any) -> None:
    """Have an application entity (pynetdicom's) support C-ECHO and the storage of images."""
    entity.add_supported_context(VERIFICATION)
    for uid in image_classes():
        entity.add_supported_context(uid, list(SYNTAXES))
