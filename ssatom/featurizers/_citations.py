"""BibTeX of what the embeddings rest on."""

from __future__ import annotations

from ssatom.weights import PretrainedEncoder

_KONG = (
    "@article{Kong2024SelfSupervised, "
    "title = {Self-supervised Representations and Node Embedding Graph Neural Networks for "
    "Accurate and Multi-scale Analysis of Materials}, "
    "author = {Kong, Jian-Gang and Zhao, Ke-Lin and Li, Jian and Li, Qing-Xu and Liu, Yu and "
    "Zhang, Rui and Zhu, Jia-Ji and Chang, Kai}, "
    "journal = {Mach. Learn.: Sci. Technol.}, volume = {5}, pages = {035018}, year = {2024}, "
    "doi = {10.48550/arXiv.2211.03563}}"
)
_XIE = (
    "@article{Xie2018CGCNN, "
    "title = {Crystal Graph Convolutional Neural Networks for an Accurate and Interpretable "
    "Prediction of Material Properties}, "
    "author = {Xie, Tian and Grossman, Jeffrey C.}, journal = {Phys. Rev. Lett.}, "
    "volume = {120}, pages = {145301}, year = {2018}, doi = {10.1103/PhysRevLett.120.145301}}"
)
_JAIN = (
    "@article{Jain2013MaterialsProject, "
    "title = {Commentary: The Materials Project: A materials genome approach to accelerating "
    "materials innovation}, "
    "author = {Jain, Anubhav and Ong, Shyue Ping and Hautier, Geoffroy and Chen, Wei and "
    "Richards, William Davidson and Dacek, Stephen and Cholia, Shreyas and Gunter, Dan and "
    "Skinner, David and Ceder, Gerbrand and Persson, Kristin A.}, journal = {APL Mater.}, "
    "volume = {1}, pages = {011002}, year = {2013}, doi = {10.1063/1.4812323}}"
)
_WARD = (
    "@article{Ward2016Magpie, "
    "title = {A general-purpose machine learning framework for predicting properties of inorganic "
    "materials}, "
    "author = {Ward, Logan and Agrawal, Ankit and Choudhary, Alok and Wolverton, Christopher}, "
    "journal = {npj Comput. Mater.}, volume = {2}, pages = {16028}, year = {2016}, "
    "doi = {10.1038/npjcompumats.2016.28}}"
)


def citations_of(weights: PretrainedEncoder) -> list[str]:
    """The method, and what its card says that the weights learned from."""
    citations = [_KONG, _XIE]
    if weights.card is not None:
        if "10.1063/1.4812323" in weights.card.corpus["terms"]:
            citations.append(_JAIN)
        if weights.card.recipe.get("element_features") == "magpie":
            citations.append(_WARD)
    return citations
