"""How a recipe fares on worse images than those it learned from: noise, blur, another scanner, prevalence."""

from raresight.registry import Entry, Registry

_INTENSITY = "raresight.stress.intensity"
_RESOLUTION = "raresight.stress.resolution"
_GEOMETRY = "raresight.stress.geometry"
_ARTEFACTS = "raresight.stress.artefacts"
_HD = "Hendrycks & Dietterich 2019"

CORRUPTIONS = Registry(
    "corruption",
    {
        "gaussian-noise": Entry(f"{_INTENSITY}:GAUSSIAN_NOISE", "independent noise in every pixel", _HD),
        "blur": Entry(f"{_RESOLUTION}:BLUR", "a Gaussian blur: out of focus, or smoothed", _HD),
        "contrast": Entry(f"{_INTENSITY}:CONTRAST", "levels drawn towards the image's mean", _HD),
        "gamma": Entry(f"{_INTENSITY}:GAMMA", "mid-tones lifted or lowered", "Boone et al. 2023"),
        "brightness": Entry(f"{_INTENSITY}:BRIGHTNESS", "all levels raised or lowered", _HD),
        "jpeg": Entry(f"{_RESOLUTION}:JPEG", "JPEG compression", _HD),
        "down-sampling": Entry(f"{_RESOLUTION}:DOWN_SAMPLING", "made smaller and enlarged again", _HD),
        "rotation": Entry(f"{_GEOMETRY}:ROTATION", "turned, black coming in", "Boone et al. 2023"),
        "cropping": Entry(f"{_GEOMETRY}:CROPPING", "a part, enlarged to the whole"),
        "occlusion": Entry(f"{_GEOMETRY}:OCCLUSION", "a black square", "Zeiler & Fergus 2014"),
        "bias-field": Entry(
            f"{_ARTEFACTS}:BIAS_FIELD", "uneven gain of an MR coil", "Van Leemput et al. 1999"
        ),
        "ghosting": Entry(f"{_ARTEFACTS}:GHOSTING", "faint copies of the head, as motion makes them in MR"),
        "illumination": Entry(
            f"{_ARTEFACTS}:ILLUMINATION",
            "a fundus lit too much here, too little there",
            "Shen et al. 2021",
        ),
    },
)
"""What an image may go through, each at five severities; see `raresight.stress.corruptions`."""
