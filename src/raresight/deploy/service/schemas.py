"""What the API takes and gives, for its description (OpenAPI) alone: no answer is validated as it leaves."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from raresight.deploy.service.problems import MEDIA_TYPE

_SCORED: dict[str, Any] = {
    "id": "6f1d7a3e0b5c4d0f8a9be2c1d3f4a5b6",
    "file": "scan.dcm",
    "score": 1.27,
    "probability": 0.91,
    "decision": "anomalous",
    "threshold": 0.0,
    "milliseconds": 11.8,
}
_PROBLEM: dict[str, Any] = {
    "type": "about:blank",
    "title": "Unprocessable Content",
    "status": 422,
    "detail": "it is truncated",
}
_MODEL: dict[str, Any] = {
    "name": "svm@embedding+smote",
    "task": "binary",
    "labels": {"normal": ["no"], "anomalous": ["yes"]},
    "input": {"modality": "mri", "size": 224, "channels": 1, "bits": 8},
    "thresholds": {"default": 0.0, "youden": 0.12},
    "calibration": {"method": "beta", "stated_at": 0.35},
    "evidence": {"from": "run", "sentence": "…"},
    "data": {"name": "scans"},
    "card": "# svm@embedding+smote …",
    "versions": {"raresight": "0.1.0"},
    "has_heat": True,
    "heat_method": "what each cell adds to the score",
    "bundle": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "loaded_at": "2026-01-01T08:00:00+00:00",
    "limits": {"body_bytes": 128000000, "max_pixels": 30000000, "images": 64, "frames": 512},
    "keeps": {"drift": True, "feedback": False},
}
_EXPLANATION: dict[str, Any] = {
    "prediction": _SCORED,
    "image": {
        "width": 2,
        "height": 1,
        "channels": 1,
        "bits": 8,
        "data": "AP8=",
        "windowed": True,
        "window": None,
        "rescale": {"slope": 1.0, "intercept": 0.0},
    },
    "heat": {"width": 2, "height": 1, "data": "AP8=", "method": "what each cell adds to the score"},
    "standing": {"normal_as_high": 0.02, "anomalous_as_low": 0.61},
    "nearest": [{"id": "case-017", "label": "yes", "distance": 0.4, "image": None}],
}
_DRIFTED: dict[str, Any] = {
    "images": 812,
    "window": 500,
    "full_window": 500,
    "scores": {"ks": 0.13, "p": 0.4, "psi": 0.08, "psi_as_trained": 0.21, "bins": {}},
    "features": {"mmd": 0.002, "p": 0.31, "distance": {"mean": 41.0, "expected": 40.2}},
    "prevalence": {"estimate": 0.39, "low": 0.3, "high": 0.49, "stated": 0.61, "mean_probability": 0.37},
    "alarms": [{"name": "prevalence", "sentence": "about 39.0% of the last 500 images seem anomalous …"}],
}


class ProblemDetails(BaseModel):
    """What went wrong; RFC 9457."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PROBLEM]})
    type: str
    title: str
    status: int
    detail: str


class Scored(BaseModel):
    """What is said of one image."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SCORED]})
    id: str
    file: str
    score: float
    probability: float | None
    decision: Literal["anomalous", "normal", "refer"]
    threshold: float
    milliseconds: float
    reason: str | None = None


class Unreadable(BaseModel):
    """Why one image of several was not scored."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"file": "cut.png", "error": _PROBLEM}]})
    file: str
    error: ProblemDetails


class Predictions(BaseModel):
    """In the order of the files, and of their frames."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"predictions": [_SCORED, {"file": "cut.png", "error": _PROBLEM}]}]}
    )
    predictions: list[Scored | Unreadable]


class Limits(BaseModel):
    """What a request may hold."""

    body_bytes: int
    max_pixels: int
    images: int
    frames: int


class Model(BaseModel):
    """The bundle in use; see ``bundle.json``."""

    model_config = ConfigDict(json_schema_extra={"examples": [_MODEL]})
    name: str
    task: str
    labels: Any
    input: dict[str, Any]
    thresholds: dict[str, float]
    calibration: dict[str, Any] | None
    evidence: Any
    data: Any
    card: str
    versions: dict[str, str]
    has_heat: bool
    heat_method: str | None
    bundle: str
    loaded_at: str
    limits: Limits
    keeps: dict[str, bool]


class Shown(BaseModel):
    """An image as it is to be shown: cropped as the detector sees it, its window left out where it can be."""

    width: int
    height: int
    channels: Literal[1, 3]
    bits: Literal[8, 16]
    data: str = Field(description="base64 of the samples, row by row, channels last, little-endian")
    windowed: bool
    window: dict[str, float] | None = Field(description="samples low and high: black and white at first")
    rescale: dict[str, float] = Field(description="slope and intercept from a sample to the file's units")


class Heat(BaseModel):
    """Where an image is anomalous; it spans the whole image."""

    width: int
    height: int
    data: str = Field(description="base64 of bytes, row by row: 0 is none, 255 is most")
    method: str


class Near(BaseModel):
    """A training case."""

    id: str
    label: str
    distance: float = Field(description="1 is as far as two training images are from each other")
    image: str | None = Field(description="data URL of a picture, where the bundle has pictures")


class Explanation(BaseModel):
    """What there is to see of one image."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXPLANATION]})
    prediction: Scored
    image: Shown
    heat: Heat | None
    standing: dict[str, float | None]
    nearest: list[Near]


class State(BaseModel):
    """Whether the service lives, or is ready."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok"}]})
    status: str


class Label(BaseModel):
    """What an image turned out to be."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": "6f1d7a3e0b5c4d0f8a9be2c1d3f4a5b6", "label": "anomalous"}]}
    )
    id: str = Field(max_length=64, description="As it came with the score.")
    label: Literal["anomalous", "normal", "unsure"]


class Alarm(BaseModel):
    """What is unlike training."""

    name: Literal["scores", "features", "distance", "prevalence"]
    sentence: str


class Drifted(BaseModel):
    """The last images beside those of training; null until enough were seen, or where nothing is known."""

    model_config = ConfigDict(json_schema_extra={"examples": [_DRIFTED]})
    images: int
    window: int
    full_window: int
    scores: dict[str, Any] | None
    features: dict[str, Any] | None
    prevalence: dict[str, Any] | None
    alarms: list[Alarm]


_TELLS = {
    400: "The body is empty or malformed.",
    401: "A token is missing or wrong.",
    403: "The request comes from another site's page.",
    404: "Nothing is kept under this id.",
    408: "The body came too slowly.",
    409: "The service does not keep this.",
    413: "The body is too large, or holds too many images or frames.",
    415: "It is no image of a format that can be read.",
    421: "The service was called by a name that is not its own.",
    422: "The image cannot be read, or the threshold is unknown.",
    429: "Too many images wait; see Retry-After.",
    500: "The service failed.",
    503: "The service is ending, or the answer took too long; see Retry-After.",
    507: "The disk has no room for it.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors that a route may give, those that any may give among them."""
    return {
        status: {
            "description": _TELLS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
        }
        for status in sorted({*statuses, 401, 403, 421, 500})
    }


def image_body(several: bool) -> dict[str, Any]:
    """Describe the body of a route that takes images."""
    file: dict[str, Any] = {"type": "string", "format": "binary"}
    form = {"type": "array", "items": file, "minItems": 1} if several else file
    raw = {"schema": {"type": "string", "format": "binary"}}
    types = (
        "image/png",
        "image/jpeg",
        "image/tiff",
        "image/bmp",
        "application/dicom",
        "application/octet-stream",
    )
    return {
        "requestBody": {
            "required": True,
            "description": "An image as it is, or files in the field `file`.",
            "content": {
                "multipart/form-data": {
                    "schema": {"type": "object", "required": ["file"], "properties": {"file": form}}
                },
                **dict.fromkeys(types, raw),
            },
        }
    }
