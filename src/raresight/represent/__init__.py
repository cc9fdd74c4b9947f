"""What a detector or sampler sees of an image."""

from raresight.registry import Entry, Registry

REPRESENTATIONS = Registry(
    "representation",
    {
        "pixels": Entry(
            "raresight.represent.pixels:Pixels", "the image itself, reduced by an integer factor"
        ),
        "pca": Entry(
            "raresight.represent.pca:PrincipalComponents",
            "pixels on their principal components, fitted on training rows",
            "Jolliffe & Cadima 2016",
        ),
        "embedding": Entry(
            "raresight.represent.embedding:Embedding",
            "a frozen pretrained network's pooled features",
            "Tan & Le 2019",
        ),
        "maps": Entry(
            "raresight.represent.maps:Maps",
            "a frozen pretrained network's feature maps on a grid",
            "Tan & Le 2019; Roth et al. 2022",
        ),
    },
)
