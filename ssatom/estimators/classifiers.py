"""Classifiers on crystals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ssatom.estimators._classification import CrystalClassifier
from ssatom.estimators._sources import Embeddings, RawFeatures


class NEGNNClassifier(Embeddings, CrystalClassifier):
    """Graph network on self-supervised embeddings, for classes of crystals or sites.

    The hidden states of a pretrained encoder become the node vectors of a crystal graph network
    that is trained on the classes by cross-entropy (the paper's NEGNN [1]_).

    Parameters
    ----------
    layers : str of digits, int or sequence of int, default="01"
        Layers of the encoder whose hidden states are joined to node vectors.
    weights : str, path, PretrainedEncoder or None, default=None
        Name of a shipped set, a folder, "random" for an untrained encoder, or None for the default
        set.
    n_conv : int, default=3
        Number of graph convolutions.
    hidden_dim : int, default=64
        Width of the convolutions; the hidden layers are twice as wide.
    n_hidden : int, default=1
        Number of hidden layers after the pooling.
    dropout : float, default=0.0
        Share of units dropped in training.
    encoder : {"frozen", "fine-tune"}, default="frozen"
        Keep the encoder as it is, so that node vectors are computed once and cached, or train a
        copy of it too. The best epoch is chosen on the structures held back either way. The network
        itself runs on the graphs of CGCNN, or on those of the encoder if it is trained.
    encoder_learning_rate : float or None, default=None
        Of the encoder with ``encoder="fine-tune"``; None for a tenth of `learning_rate`.
    learning_rate : float, default=0.001
        Of Adam.
    learning_rate_schedule : {"plateau", "cosine", "constant"}, default="plateau"
        Halve it when the validation loss was flat for a third of `patience`, or lower it over
        `max_epochs` to 0, or leave it.
    weight_decay : float, default=0.0
        Decoupled weight decay of Adam.
    gradient_clip : float or None, default=None
        Largest norm of the gradient.
    batch_size : int, default=64
        Structures of a step at most; fewer (8 at least) where an epoch would have less than 8
        steps. Predictions do not depend on it.
    max_epochs : int, default=300
        Epochs at most.
    patience : int or None, default=30
        Stop when the validation loss has not fallen for so many epochs; None never stops early.
    validation_fraction : float, default=0.1
        Share of the structures held back, copies together, on which the best epoch is chosen;
        four at least of 16 or more.
    time_budget : float or None, default=None
        Seconds of training, all members together, after which the epoch under way is the last.
    n_members : int, default=1
        Number of networks trained, each from its own seed with its own structures held back.
        Predictions are their mean.
    level : {"structure", "site"}, default="structure"
        Predict for structures, or for sites given as pairs of structure and site index. All sites
        of one structure are held back together.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the edges in training; "auto" takes bfloat16 where the processor has units for it.
        Predictions are float32.
    device : str, default="auto"
        "auto", "cpu" or "cuda".
    memory : path, joblib.Memory or None, default=None
        Where to keep embeddings on disk, shared by processes.
    random_state : int, RandomState or None, default=None
        Seed of initial networks, split and order, and of ``weights="random"`` if it is an int; an
        int makes runs on the CPU repeat bit for bit, as a program that is run again does.
        Embeddings that other calls left in the cache may differ in the sixth digit, since these
        depend that much on what they were computed together with.
    progress_bar : bool, default=False
        Whether to show progress.

    Attributes
    ----------
    classes_ : ndarray
        Classes, in the order of the columns of `predict_proba`.
    networks_ : list of NEGNN
        The members, each with the parameters of its best epoch.
    history_ : DataFrame
        One row an epoch and member: losses and accuracy,
        in training and validation.
    best_epochs_ : list of int
        Epoch kept by each member, from 1 on.
    n_structures_ : int
        Structures used, those held back included; sites of one structure count once.
    precision_ : str
        Precision of the edges that was used.
    seconds_ : float
        Time of the training.
    weights_ : str or PretrainedEncoder
        The weights by name or absolute folder.
    weights_sha256_ : str
        Their hash; predicting with others is refused.
    layers_ : tuple of int
        Layers used.

    See Also
    --------
    CGCNNClassifier : The same network on the raw features of the elements.

    References
    ----------
    .. [1] Kong et al., "Self-supervised representations and node embedding graph neural networks
       for accurate and multi-scale analysis of materials", Mach. Learn.: Sci. Technol. 5, 035018
       (2024), 10.48550/arXiv.2211.03563
    .. [2] Xie & Grossman, Phys. Rev. Lett. 120, 145301 (2018), 10.1103/PhysRevLett.120.145301

    Examples
    --------
    >>> from ssatom import NEGNNClassifier, load_example_crystals
    >>> table = load_example_crystals().dropna(subset="band_gap_eV")[::4]
    >>> metal = table["band_gap_eV"] == 0
    >>> model = NEGNNClassifier(hidden_dim=16, max_epochs=2, random_state=0)
    >>> model.fit(table["structure"], metal).predict_proba(table["structure"][:3]).shape
    (3, 2)
    """

    def __init__(
        self,
        layers: str | int | Sequence[int] = "01",
        weights: Any = None,
        *,
        n_conv: int = 3,
        hidden_dim: int = 64,
        n_hidden: int = 1,
        dropout: float = 0.0,
        encoder: str = "frozen",
        encoder_learning_rate: float | None = None,
        learning_rate: float = 0.001,
        learning_rate_schedule: str = "plateau",
        weight_decay: float = 0.0,
        gradient_clip: float | None = None,
        batch_size: int = 64,
        max_epochs: int = 300,
        patience: int | None = 30,
        validation_fraction: float = 0.1,
        time_budget: float | None = None,
        n_members: int = 1,
        level: str = "structure",
        precision: str = "auto",
        device: str = "auto",
        memory: Any = None,
        random_state: Any = None,
        progress_bar: bool = False,
    ) -> None:
        self._store(locals())


class CGCNNClassifier(RawFeatures, CrystalClassifier):
    """Crystal graph network on raw features of the elements, for classes of crystals or sites.

    The same network as NEGNN [2]_ with the 92 features of each element as node vectors [1]_, so
    that the difference between the two is what the embeddings bring.

    Parameters
    ----------
    n_conv : int, default=3
        Number of graph convolutions.
    hidden_dim : int, default=64
        Width of the convolutions; the hidden layers are twice as wide.
    n_hidden : int, default=1
        Number of hidden layers after the pooling.
    dropout : float, default=0.0
        Share of units dropped in training.
    learning_rate : float, default=0.001
        Of Adam.
    learning_rate_schedule : {"plateau", "cosine", "constant"}, default="plateau"
        Halve it when the validation loss was flat for a third of `patience`, or lower it over
        `max_epochs` to 0, or leave it.
    weight_decay : float, default=0.0
        Decoupled weight decay of Adam.
    gradient_clip : float or None, default=None
        Largest norm of the gradient.
    batch_size : int, default=64
        Structures of a step at most; fewer (8 at least) where an epoch would have less than 8
        steps. Predictions do not depend on it.
    max_epochs : int, default=300
        Epochs at most.
    patience : int or None, default=30
        Stop when the validation loss has not fallen for so many epochs; None never stops early.
    validation_fraction : float, default=0.1
        Share of the structures held back, copies together, on which the best epoch is chosen;
        four at least of 16 or more.
    time_budget : float or None, default=None
        Seconds of training, all members together, after which the epoch under way is the last.
    n_members : int, default=1
        Number of networks trained, each from its own seed with its own structures held back.
        Predictions are their mean.
    level : {"structure", "site"}, default="structure"
        Predict for structures, or for sites given as pairs of structure and site index. All sites
        of one structure are held back together.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the edges in training; "auto" takes bfloat16 where the processor has units for it.
        Predictions are float32.
    device : str, default="auto"
        "auto", "cpu" or "cuda".
    random_state : int, RandomState or None, default=None
        Seed of initial networks, split and order; an int makes runs on the CPU repeat bit for bit.
    progress_bar : bool, default=False
        Whether to show progress.

    Attributes
    ----------
    classes_ : ndarray
        Classes, in the order of the columns of `predict_proba`.
    networks_ : list of NEGNN
        The members, each with the parameters of its best epoch.
    history_ : DataFrame
        One row an epoch and member: losses and accuracy,
        in training and validation.
    best_epochs_ : list of int
        Epoch kept by each member, from 1 on.
    n_structures_ : int
        Structures used, those held back included; sites of one structure count once.
    precision_ : str
        Precision of the edges that was used.
    seconds_ : float
        Time of the training.

    See Also
    --------
    NEGNNClassifier : The same network on self-supervised embeddings.

    References
    ----------
    .. [1] Xie & Grossman, Phys. Rev. Lett. 120, 145301 (2018), 10.1103/PhysRevLett.120.145301
    .. [2] Kong et al., "Self-supervised representations and node embedding graph neural networks
       for accurate and multi-scale analysis of materials", Mach. Learn.: Sci. Technol. 5, 035018
       (2024), 10.48550/arXiv.2211.03563

    Examples
    --------
    >>> from ssatom import CGCNNClassifier, load_example_crystals
    >>> table = load_example_crystals().dropna(subset="band_gap_eV")[::4]
    >>> metal = table["band_gap_eV"] == 0
    >>> model = CGCNNClassifier(hidden_dim=16, max_epochs=2, random_state=0)
    >>> model.fit(table["structure"], metal).predict_proba(table["structure"][:3]).shape
    (3, 2)
    """

    def __init__(
        self,
        *,
        n_conv: int = 3,
        hidden_dim: int = 64,
        n_hidden: int = 1,
        dropout: float = 0.0,
        learning_rate: float = 0.001,
        learning_rate_schedule: str = "plateau",
        weight_decay: float = 0.0,
        gradient_clip: float | None = None,
        batch_size: int = 64,
        max_epochs: int = 300,
        patience: int | None = 30,
        validation_fraction: float = 0.1,
        time_budget: float | None = None,
        n_members: int = 1,
        level: str = "structure",
        precision: str = "auto",
        device: str = "auto",
        random_state: Any = None,
        progress_bar: bool = False,
    ) -> None:
        self._store(locals())
