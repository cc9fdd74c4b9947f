"""What is done about imbalance: samplers behind one synthesis plan, costs, threshold rules."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from raresight.registry import Entry, Registry

_HERE = "raresight.balance"

SAMPLERS = Registry(
    "sampler",
    {
        "none": Entry(f"{_HERE}.resampling:NoSampler", "the baseline: training rows as they are"),
        "random-over": Entry(f"{_HERE}.resampling:RandomOverSampler", "rows of the rare class again"),
        "random-under": Entry(f"{_HERE}.resampling:RandomUnderSampler", "a random part of the large classes"),
        "smote": Entry(f"{_HERE}.smote:SMOTE", "between a rare row and its neighbours", "Chawla et al. 2002"),
        "borderline": Entry(
            f"{_HERE}.borderline:BorderlineSMOTE", "SMOTE from rows in danger only", "Han et al. 2005"
        ),
        "borderline-2": Entry(
            f"{_HERE}.borderline:BorderlineSMOTE2", "the same, towards strangers too", "Han et al. 2005"
        ),
        "svm-smote": Entry(
            f"{_HERE}.borderline:SVMSMOTE", "SMOTE from support vectors", "Nguyen et al. 2011"
        ),
        "kmeans-smote": Entry(f"{_HERE}.clustered:KMeansSMOTE", "SMOTE inside clusters", "Last et al. 2017"),
        "adasyn": Entry(f"{_HERE}.adasyn:ADASYN", "SMOTE, more where strangers are near", "He et al. 2008"),
        "geometric-smote": Entry(
            f"{_HERE}.geometric:GeometricSMOTE", "in a ball around a rare row", "Douzas & Bacao 2019"
        ),
        "smote-nc": Entry(f"{_HERE}.nominal:SMOTENC", "SMOTE with nominal columns", "Chawla et al. 2002"),
        "boundary-smote": Entry(
            f"{_HERE}.boundary:BoundarySMOTE",
            "SMOTE with k in proportion and steps to the border",
            "after Sakho et al. 2024",
        ),
        "enn": Entry(
            f"{_HERE}.cleaning:EditedNearestNeighbours", "away with rows among strangers", "Wilson 1972"
        ),
        "tomek": Entry(f"{_HERE}.cleaning:TomekLinks", "away with pairs across the border", "Tomek 1976"),
        "neighbourhood-cleaning": Entry(
            f"{_HERE}.cleaning:NeighbourhoodCleaningRule",
            "enn, and away with what surrounds rare rows",
            "Laurikkala 2001",
        ),
        "smote-enn": Entry(f"{_HERE}.hybrid:SMOTEENN", "smote, then enn", "Batista et al. 2004"),
        "smote-tomek": Entry(f"{_HERE}.hybrid:SMOTETomek", "smote, then tomek", "Batista et al. 2003"),
        "stem": Entry(f"{_HERE}.mixup:STEM", "smote-enn, then mixup of all rows", "Hasan et al. 2023"),
        "mixup": Entry(
            f"{_HERE}.mixup:Mixup", "between any two rows, labels in proportion", "Zhang et al. 2018"
        ),
        "balanced-mixup": Entry(
            f"{_HERE}.mixup:BalancedMixup", "mixup with a class-balanced row", "Galdran et al. 2021"
        ),
        "remix": Entry(f"{_HERE}.mixup:Remix", "mixup, labels to the rarer class", "Chou et al. 2020"),
        "class-weight": Entry(
            f"{_HERE}.costs:ClassWeight", "cost: inverse class frequency", "King & Zeng 2001"
        ),
        "class-balanced": Entry(
            f"{_HERE}.costs:ClassBalanced", "cost: effective number of rows", "Cui et al. 2019"
        ),
        "focal": Entry(f"{_HERE}.costs:Focal", "cost: focal loss, for networks", "Lin et al. 2017"),
        "logit-adjustment": Entry(
            f"{_HERE}.costs:LogitAdjustment", "cost: log odds moved by the class ratio", "Menon et al. 2021"
        ),
        "threshold": Entry(f"{_HERE}.costs:Threshold", "no cost: the threshold is moved", "Provost 2000"),
        "eos": Entry(
            "raresight.balance.eos:EOS", "from a rare row towards its enemies", "Dablain et al. 2023"
        ),
        "latent-smote": Entry(
            "raresight.balance.latent:LatentSMOTE", "SMOTE in an autoencoder's latent space; decoded images"
        ),
        "deepsmote": Entry(
            "raresight.balance.deepsmote:DeepSMOTE",
            "latent SMOTE with a permutation penalty; decoded images",
            "Dablain et al. 2023",
        ),
        "gan": Entry(
            "raresight.balance.gan:GAN",
            "images drawn by a conditional WGAN-GP of the training images",
            "Gulrajani et al. 2017",
        ),
    },
)

_CLASSES = {
    "ADASYN": f"{_HERE}.adasyn",
    "BalancedMixup": f"{_HERE}.mixup",
    "BorderlineSMOTE": f"{_HERE}.borderline",
    "BorderlineSMOTE2": f"{_HERE}.borderline",
    "BoundarySMOTE": f"{_HERE}.boundary",
    "EditedNearestNeighbours": f"{_HERE}.cleaning",
    "GeometricSMOTE": f"{_HERE}.geometric",
    "KMeansSMOTE": f"{_HERE}.clustered",
    "Mixup": f"{_HERE}.mixup",
    "NeighbourhoodCleaningRule": f"{_HERE}.cleaning",
    "NoSampler": f"{_HERE}.resampling",
    "RandomOverSampler": f"{_HERE}.resampling",
    "RandomUnderSampler": f"{_HERE}.resampling",
    "Remix": f"{_HERE}.mixup",
    "SMOTE": f"{_HERE}.smote",
    "SMOTEENN": f"{_HERE}.hybrid",
    "SMOTENC": f"{_HERE}.nominal",
    "SMOTETomek": f"{_HERE}.hybrid",
    "STEM": f"{_HERE}.mixup",
    "SVMSMOTE": f"{_HERE}.borderline",
    "TomekLinks": f"{_HERE}.cleaning",
    "EOS": "raresight.balance.eos",
    "LatentSMOTE": "raresight.balance.latent",
    "DeepSMOTE": "raresight.balance.deepsmote",
    "GAN": "raresight.balance.gan",
    "SynthesisPlan": "raresight.balance.plan",
}
__all__ = ["SAMPLERS", *_CLASSES]


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return getattr(import_module(_CLASSES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
