"""What one of several processes does in tests/test_distributed.py, and one process alone."""

from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from helpers import Small, training

from mmalign import (
    ERRORS,
    Aligner,
    CrossAlignment,
    Objective,
    Parts,
    Ramp,
    Session,
    View,
    Wasserstein,
    train_aligner,
)
from mmalign.align import draw_noise
from mmalign.contracts import Weighted
from mmalign.feeding import Resident
from mmalign.group import Added, Group
from mmalign.train import gradients
from mmalign_aligned_vae.method import AlignedVAE
from mmalign_aligned_vae.representing import represent
from mmalign_gzsl.softmax import Softmax

SIZE = 2
# All rows; an odd number; fewer than processes; and rows none of which has the attributes.
BATCHES = {"all": range(40), "odd": range(0, 35, 5), "one": [17], "of class 2": [21, 22, 27]}
FITS = {
    "random": {"draw": "random", "batch": 16},
    "shuffled, with an uneven end": {"draw": "shuffle", "batch": 7},
    "one row a step": {"draw": "shuffle", "batch": 1, "epochs": 2},
}
SETTINGS = {"epochs": 6, "lr": 3e-3, "noise": "independent", "scale": "std"}


def data(masked):
    """40 rows of 4 classes; masked, every third has no image, and class 2 no attributes."""
    made = training()
    if not masked:
        return made
    place = torch.arange(40).numpy()
    attributes = torch.tensor([True, True, False, True, True, True]).numpy()
    views = {
        "image": View(made.views["image"].values, "sample", place % 3 != 0),
        "attributes": View(made.views["attributes"].values, "class", attributes),
    }
    return replace(made, views=views)


def learner(given, session, reduction="sum"):
    dims = given.signature.dims
    aligner = Aligner(dict.fromkeys(given.views, Small()), dims, 4, session.generator)
    losses = {
        "cross": Weighted(CrossAlignment(), Ramp(to=2.37, start=1, end=3)),
        "distribution": Weighted(Wasserstein(), Ramp(to=8.13, start=0, end=2)),
    }
    errors = dict.fromkeys(given.views, ERRORS["l1"])
    return aligner, Objective(errors, Ramp(to=0.25, start=0, end=4), losses, reduction)


def stepped(group, masked, reduction):
    """The gradients of a batch and its terms, summed over the processes, in float64."""
    given = data(masked)
    aligner, objective = learner(given, Session(0), reduction)
    aligner.double()
    rows_of = Resident(given, "cpu")
    rows_of.values = {name: x.double() for name, x in rows_of.values.items()}
    rows_of.classes = {name: x.double() for name, x in rows_of.classes.items()}
    found = {}
    for name, rows in BATCHES.items():
        rows = torch.tensor(list(rows))
        share = slice(None) if group is None else group.share(len(rows)).rows
        noise = {
            n: draw_noise(len(rows), 4, "independent", Session(0).generator(n), torch.float64)
            for n in aligner.names
        }
        added = None if group is None else Added(aligner.parameters(), group)
        batch, e = rows_of.batch(rows[share]), {n: each[share] for n, each in noise.items()}
        terms = gradients(aligner, objective, batch, e, "std", 3, added)
        if group is not None:
            terms = {n: group.sum(value) for n, value in terms.items()}
        grads = {n: p.grad for n, p in aligner.named_parameters() if p.grad is not None}
        found[name] = {n: value.clone() for n, value in {**terms, **grads}.items()}
    return found


def trained(group, masked, **changed):
    """The weights after some epochs, and what was told of each."""
    given, heard = data(masked), []
    session = Session(0, epoch_ended=lambda *said: heard.append(said), group=group)
    aligner, objective = learner(given, session)
    train_aligner(aligner, objective, given, session, **SETTINGS | changed)
    return {"weights": dict(aligner.state_dict()), "told": heard}


def kept(group, folder):
    """A fit that the first process keeps, found again by all; what was told of the two."""
    heard, found = [], []
    for _ in range(2):
        session = Session(0, "cpu", lambda *said: heard.append(said), folder, group=group)
        modalities = {"image": Small(), "attributes": Small(array="attributes")}
        method = AlignedVAE(latent=4, epochs=2)
        parts = Parts(modalities, head=Softmax())
        found.append(represent(method, data(False), parts, session, "representation").state_dict())
    return {"weights": found, "told": len(heard), "files": len([*folder.iterdir()])}


def everything(group, folder):
    """All that is compared, by name."""
    cases = {("steps", m, r): stepped(group, m, r) for m in (0, 1) for r in ("sum", "mean")}
    cases |= {("fit", m, n): trained(group, m, **each) for m in (0, 1) for n, each in FITS.items()}
    return cases | {"kept": kept(group, folder)}


def main(rank, folder):
    """One process's part; what it found goes to a file."""
    torch.set_num_threads(1)
    meeting = (Path(folder) / "meeting").as_uri()
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=SIZE)
    own = Path(folder) / str(rank)  # as on hosts of their own
    own.mkdir()
    torch.save(everything(Group(rank, SIZE), own), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()
