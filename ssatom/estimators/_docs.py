"""What the docstrings of the estimators share."""

from ssatom.shared_docs import OF_EMBEDDINGS, SharedDocs

_TEXT = """
    layers : str of digits, int or sequence of int
        Layers of the encoder whose hidden states, side by side, are the node vectors.
    weights : str, path, PretrainedEncoder or None
        Name of a shipped set, a folder, "random" for an untrained encoder, or None for the default
        set. The seed of ``weights="random"`` is `random_state`, or 0 if that is no int.
    n_conv : int
        Number of graph convolutions.
    hidden_dim : int
        Width of the convolutions; the hidden layers are twice as wide.
    n_hidden : int
        Number of hidden layers after the pooling.
    dropout : float
        Share of units dropped in training.
    encoder : {"frozen", "fine-tune"}
        Keep the encoder as it is, so that node vectors are computed once and cached, or train a
        copy of it too. The best epoch is chosen on the validation structures either way. The
        network itself runs on the graphs of CGCNN, or on those of the encoder if it is trained.
    encoder_learning_rate : float or None
        Learning rate of the encoder with ``encoder="fine-tune"``; None for a tenth of
        `learning_rate`.
    loss : {"huber", "squared"}
        Loss on scaled targets. "huber" counts errors above 0.3 standard deviations linearly.
    learning_rate : float
        Learning rate of Adam.
    learning_rate_schedule : {"plateau", "cosine", "constant"}
        "plateau" halves the learning rate when the validation loss has not fallen for a third of
        `patience`, "cosine" lowers it over `max_epochs` to 0, "constant" keeps it.
    weight_decay : float
        Decoupled weight decay of Adam.
    gradient_clip : float or None
        Largest norm of the gradient; None for no limit.
    batch_size : int
        Largest number of structures in a step. It is lower (8 at least) where an epoch would have
        fewer than 8 steps. Predictions do not depend on it.
    max_epochs : int
        Largest number of epochs. Batch normalisation keeps its statistics after a quarter of them
        and 50 steps: networks trained so predicted held-out crystals better.
    patience : int or None
        Training stops when the validation loss has not fallen for so many epochs; None never stops
        early.
    validation_fraction : float
        Share of the structures held back for validation, on which the best epoch is chosen; four
        at least of 16 or more. Copies of a structure stay together.
    time_budget : float or None
        Time of training in seconds, for all members together; the epoch under way then is the last.
    n_members : int
        Number of networks, each trained from its own seed with its own validation structures.
        Predictions are their mean.
    level : {"structure", "site"}
        Predict for structures, or for sites given as pairs of structure and site index. All sites
        of one structure are held back together.
    precision : {"auto", "float32", "bfloat16"}
        Precision of the edges in training; "auto" takes bfloat16 where the processor has units for
        it. Predictions are float32.
    random_state : int, RandomState or None
        Seed of initial networks, split and order; None draws another in each fit. An int makes runs
        on the CPU repeat bit for bit, except that embeddings left in the cache by other calls may
        differ in the sixth digit, since these depend on the batch in which they were computed.
    progress_bar : bool
        Show progress, on stderr, in a terminal or a notebook.

    networks_ : list of NEGNN
        The members, each with the parameters of its best epoch.
    history_ : DataFrame
        One row an epoch and member: loss and mean absolute error (in the unit of the target) or
        accuracy, in training and validation.
    best_epochs_ : list of int
        Epoch of the lowest validation loss of each member, counted from 1.
    n_structures_ : int
        Number of structures used, validation included; sites of one structure count once.
    precision_ : str
        Precision of the edges in training.
    seconds_ : float
        Time of the training, in seconds.
    target_scaler_ : StandardScaler
        Mean and standard deviation of the targets.
    std_scale_ : ndarray of float64, shape (n_targets,)
        Factor of the standard deviations of predictions; 1 until `scale_std` is called.
    classes_ : ndarray
        Classes, in the order of the columns of `predict_proba`.
    weights_ : str or PretrainedEncoder
        The weights by name or absolute folder.
    weights_sha256_ : str
        Their hash; predicting with others is refused.
    layers_ : tuple of int
        Layers used.

    X : list, tuple, Series, DataFrame, object array or generator
        Structures; with ``level="site"`` pairs of structure and site index. Predictions read a
        generator in chunks.
    sample_weight : array-like of float, shape (n_rows,)
        Weight of each row in the scaling of targets, the loss and early stopping; None for 1. Rows
        of weight 0 are left out.
    return_std : bool
        Whether to give the standard deviation over the members too, times `std_scale_`. It is
        smaller than the error until `scale_std` was called with rows held out of the fit;
        `ConformalRegressor` gives intervals of a stated coverage.

    NotFittedError
        If `fit` was not called.
    StructureError
        At the first bad row.
    WeightsError
        If the weights of the encoder are unknown or damaged.
    TrainingWarning
        If the validation loss of the best epoch is far above that of predicting the mean.
    GraphWarning
        If sites have no neighbour within the cutoff, or bonds are shorter than bonds can be.
"""

shared_docs = SharedDocs(OF_EMBEDDINGS, _TEXT)
