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
        "cases": Entry(
            "raresight.represent.cases:Cases",
            "the embedding of each of a case's images, and columns of the table: cases[table=age+sex]",
            "Baltrušaitis et al. 2019",
        ),
        "trunk": Entry(
            "raresight.represent.trunk:Trunk",
            "maps of a pretrained network's frozen first blocks, in a few views",
            "Yosinski et al. 2014",
        ),
    },
)
