"""A scikit-learn classifier that knows some of its classes from a description only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmalign.extras import need

need("sklearn", "sklearn")

from sklearn.base import BaseEstimator, ClassifierMixin  # noqa: E402
from sklearn.utils import check_random_state  # noqa: E402
from sklearn.utils.multiclass import check_classification_targets  # noqa: E402
from sklearn.utils.validation import check_is_fitted, validate_data  # noqa: E402

from mmalign.arrays import Floats, Indices  # noqa: E402
from mmalign.calibration import probabilities  # noqa: E402
from mmalign.checked import fitted_by  # noqa: E402
from mmalign.model import Model  # noqa: E402
from mmalign.plugins import discover  # noqa: E402
from mmalign.recipe import assemble_parts  # noqa: E402
from mmalign.scaling import scale  # noqa: E402
from mmalign.types import Problem, Question, Session, Training, View  # noqa: E402

FEATURES, DESCRIPTIONS = "image", "attributes"  # what the modalities are called in ``model_``
SEEDS = 2**31 - 1
CODE = 64  # signs by which a class without a description is known


class AlignedVAEClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Aligned variational autoencoders with a softmax head, as a scikit-learn classifier.

    One autoencoder learns the rows of ``X``, another the descriptions of the classes, in one
    latent space; a class with a description needs no row (Schonfeld et al. 2019). Features are
    scaled inside, on the rows of ``fit``. Without descriptions a class is known by a
    random code, and all classes need rows.

    Args:
        descriptions: Numbers by class label, as many for each class. Classes that are not in
            ``y`` become unseen ones, which ``predict`` may answer; a class of ``y`` may lack one.
        latent: Dimensions of the latent space.
        hidden: Widths of the hidden layers of the features' encoder and decoder.
        description_hidden: The same of the descriptions'.
        epochs: Epochs of the autoencoders; the weights of the losses are ramped over them as
            published.
        batch_size: Rows of a step.
        lr: Learning rate of Adam.
        cross_alignment: Weight of that loss at the end of its ramp.
        distribution_alignment: The same.
        kl: The same, of the divergence from the prior.
        scaler: Scaling of the features: "none", "min-max", "standard" or "unit".
        description_scaler: Scaling of the descriptions.
        head_epochs: Epochs of the softmax head.
        seen_latents: Latents of each class with rows that the head trains on.
        unseen_latents: The same of each class without.
        random_state: Of all that is drawn: an int, a RandomState, or None.
        device: A torch device.

    Attributes:
        classes_: Labels of ``y`` and those described besides, sorted, (classes,).
        unseen_classes_: Those without a row.
        n_features_in_: Numbers a row.
        model_: A ``mmalign.Model``, which ``mmalign.save_model`` writes. Its classes are called
            ``str(label)``, its modalities "image" (rows of ``X``) and "attributes".

    A softmax head's probabilities are not calibrated; ``CalibratedClassifierCV`` calibrates them
    where every class has rows.
    """

    def __init__(
        self,
        *,
        descriptions: Mapping[Any, Any] | None = None,
        latent: int = 32,
        hidden: tuple[int, int] = (256, 256),
        description_hidden: tuple[int, int] = (128, 128),
        epochs: int = 100,
        batch_size: int = 50,
        lr: float = 1e-3,
        cross_alignment: float = 1.0,
        distribution_alignment: float = 2.0,
        kl: float = 0.25,
        scaler: str = "standard",
        description_scaler: str = "none",
        head_epochs: int = 30,
        seen_latents: int = 200,
        unseen_latents: int = 400,
        random_state: Any = None,
        device: str = "cpu",
    ) -> None:
        self.descriptions = descriptions
        self.latent = latent
        self.hidden = hidden
        self.description_hidden = description_hidden
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.cross_alignment = cross_alignment
        self.distribution_alignment = distribution_alignment
        self.kl = kl
        self.scaler = scaler
        self.description_scaler = description_scaler
        self.head_epochs = head_epochs
        self.seen_latents = seen_latents
        self.unseen_latents = unseen_latents
        self.random_state = random_state
        self.device = device

    def fit(self, X: Any, y: Any) -> AlignedVAEClassifier:  # noqa: N803
        """Train on rows (rows, dim) and their labels (rows,).

        Raises ValueError for what is no such data, and MmalignError for wrong parameters.
        """
        X, y = validate_data(self, X, y, dtype=np.float32)  # noqa: N806
        check_classification_targets(y)
        self.classes_, view = self._described(np.unique(y))
        if len(self.classes_) < 2:
            raise ValueError("one class alone is nothing to classify: y has 1 class")
        labels = np.searchsorted(self.classes_, y).astype(np.int64)
        seen = np.unique(labels)
        unseen = np.setdiff1d(np.arange(len(self.classes_)), seen)
        self.unseen_classes_ = self.classes_[unseen]
        names = tuple(map(str, self.classes_.tolist()))
        views = {FEATURES: View(X, "sample"), DESCRIPTIONS: view}
        training = Training(names, labels, views, seen, unseen)
        table = self._table()
        method, parts = assemble_parts(table, discover(), "AlignedVAEClassifier")
        problem = scale(Problem(training, _no_question(seen, unseen), {}), parts.modalities)
        seed = int(check_random_state(self.random_state).randint(SEEDS))
        fitted = fitted_by(method, problem.training, parts, Session(seed, self.device))
        self.model_ = Model(
            problem.training.signature,
            problem.scalings,
            parts.modalities,
            fitted,
            {"recipe": table, "seed": seed},
        )
        return self

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """The likeliest class of each row, (rows,)."""
        check_is_fitted(self)
        labels: NDArray[Any] = self.classes_[self._scores(X).argmax(axis=1)]
        return labels

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """The head's softmax over ``classes_``, (rows, classes); see the notes."""
        check_is_fitted(self)
        return probabilities(self._scores(X), 1.0).astype(np.float64)

    def embed(self, X: Any) -> NDArray[np.float32]:  # noqa: N803
        """Latents of rows, (rows, latent): posterior means."""
        check_is_fitted(self)
        return self.model_.embed(validate_data(self, X, dtype=np.float32, reset=False))

    def _scores(self, X: Any) -> NDArray[np.float32]:  # noqa: N803
        rows = validate_data(self, X, dtype=np.float32, reset=False)
        return self.model_.scores(rows)

    def _described(self, trained: NDArray[Any]) -> tuple[NDArray[Any], View]:
        """All classes, and their descriptions as a view; a class may lack one."""
        if self.descriptions is None:
            return trained, View(_codes(len(trained)), "class")
        labels = np.array(list(self.descriptions))
        rows = [np.asarray(row, dtype=np.float32) for row in self.descriptions.values()]
        if not np.isin(labels, trained).any():
            raise ValueError("descriptions: none of them is of a class in y")
        if len({row.shape for row in rows}) != 1 or rows[0].ndim != 1:
            raise ValueError("descriptions must be numbers, as many for each class")
        classes = np.union1d(trained, labels)
        place = np.searchsorted(classes, labels)
        values = np.zeros((len(classes), len(rows[0])), np.float32)
        values[place] = rows
        mask = np.isin(np.arange(len(classes)), place)
        return classes, View(values, "class", mask)

    def _table(self) -> dict[str, Any]:
        """The parameters as a recipe has them."""

        def ramp(to: float, start: float, end: float) -> dict[str, float]:
            # Published for 100 epochs (Schonfeld et al. 2019, section 4).
            return {"to": to, "start": start * self.epochs, "end": end * self.epochs}

        return {
            "modality": {
                FEATURES: {"use": "image", "hidden": self.hidden, "scaler": self.scaler},
                DESCRIPTIONS: {
                    "use": "attributes",
                    "hidden": self.description_hidden,
                    "scaler": self.description_scaler,
                },
            },
            "method": {
                "use": "aligned-vae",
                "latent": self.latent,
                "epochs": self.epochs,
                "batch": self.batch_size,
                "lr": self.lr,
                "noise": "independent",
                "scale": "std",
                "kl": ramp(self.kl, 0, 0.93),
            },
            "loss": {
                "cross": {"weight": ramp(self.cross_alignment, 0.21, 0.75)},
                "distribution": {
                    "use": "wasserstein",
                    "weight": ramp(self.distribution_alignment, 0.06, 0.22),
                },
            },
            "head": {
                "use": "softmax",
                "seen": self.seen_latents,
                "unseen": self.unseen_latents,
                "unseen_only": self.unseen_latents,
                "epochs": self.head_epochs,
                "epochs_unseen_only": self.head_epochs,
            },
        }


def _codes(classes: int) -> Floats:
    """A description for classes that have none: a fixed random sequence of signs for each.

    One-hot rows would say the same, but three numbers weigh little beside the divergences, and
    the latent space would shrink to a point.
    """
    random = np.random.default_rng(0)
    codes: Floats = (2 * random.integers(0, 2, (classes, CODE)) - 1).astype(np.float32)
    return codes


def _no_question(seen: Indices, unseen: Indices) -> Question:
    """Nothing is asked while it is fitted."""
    return Question(np.empty(0, np.int64), {}, seen, unseen, np.union1d(seen, unseen))
