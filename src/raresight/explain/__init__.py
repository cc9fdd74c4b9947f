"""Where a detector looked, what an image resembles, how sure the answer is, and whether it may be asked."""

from raresight.registry import Entry, Registry

METHODS = Registry(
    "explanation",
    {
        "integrated-maps": Entry(
            "raresight.explain.gradients:IntegratedMaps",
            "integrated gradients of feature maps, from those of normal images",
            "Sundararajan et al. 2017",
        ),
        "gradient-maps": Entry(
            "raresight.explain.gradients:GradientMaps",
            "gradient of feature maps times their difference from those of normal images",
            "Shrikumar et al. 2017",
        ),
        "integrated-gradients": Entry(
            "raresight.explain.gradients:PixelGradients",
            "integrated gradients of pixels, from the mean normal image, smoothed",
            "Sundararajan et al. 2017",
        ),
        "grad-cam": Entry(
            "raresight.explain.gradients:GradientCAM",
            "last feature maps, weighted by their gradients",
            "Selvaraju et al. 2017",
        ),
        "grad-cam++": Entry(
            "raresight.explain.gradients:GradientCAMPlusPlus",
            "last feature maps, weighted by positive gradients place by place",
            "Chattopadhay et al. 2018",
        ),
        "map-occlusion": Entry(
            "raresight.explain.occlusion:MapOcclusion",
            "places of a backbone's maps made normal one after the other, for any head",
            "Zeiler & Fergus 2014",
        ),
        "occlusion": Entry(
            "raresight.explain.occlusion:PixelOcclusion",
            "squares of the image blotted out one after the other, for any recipe; slow",
            "Zeiler & Fergus 2014",
        ),
        "residual": Entry(
            "raresight.explain.own:Residual",
            "what a network trained on normal images cannot redraw",
            "Baur et al. 2021",
        ),
        "patch-distance": Entry(
            "raresight.explain.own:PatchDistance",
            "distance of each place's features from normal ones",
            "Roth et al. 2022; Defard et al. 2021",
        ),
        "mask": Entry(
            "raresight.explain.own:LesionMask",
            "probability of a lesion in each pixel, learned from masks",
            "Ronneberger et al. 2015",
        ),
    },
)
