"""mmalign: any number of modalities in one latent space, and classes never seen.

Everything that a plugin may use is exported here. Names are imported when they are first
used, so that ``import mmalign`` and the command line's help cost no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# At once, not when first used: the module of the same name would stand in its place.
from mmalign.component import component as component

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mmalign.align import Aligner as Aligner
    from mmalign.align import Batch as Batch
    from mmalign.align import Noise as Noise
    from mmalign.align import Pass as Pass
    from mmalign.align import Scale as Scale
    from mmalign.align import sample as sample
    from mmalign.arrays import Floats as Floats
    from mmalign.arrays import Indices as Indices
    from mmalign.arrays import Mask as Mask
    from mmalign.asking import fit_head as fit_head
    from mmalign.asking import head_scores as head_scores
    from mmalign.asking import tune_head as tune_head
    from mmalign.bundle import load as load
    from mmalign.bundle import save_model as save_model
    from mmalign.calibration import fit_temperature as fit_temperature
    from mmalign.classfile import Classes as Classes
    from mmalign.classfile import Line as Line
    from mmalign.classfile import Problems as Problems
    from mmalign.classfile import Table as Table
    from mmalign.classfile import file_inside as file_inside
    from mmalign.classfile import read_classes as read_classes
    from mmalign.classfile import read_table as read_table
    from mmalign.classfile import some_names as some_names
    from mmalign.contracts import Backbone as Backbone
    from mmalign.contracts import Dataset as Dataset
    from mmalign.contracts import ErrorName as ErrorName
    from mmalign.contracts import Exportable as Exportable
    from mmalign.contracts import Extractor as Extractor
    from mmalign.contracts import Fitted as Fitted
    from mmalign.contracts import FittedHead as FittedHead
    from mmalign.contracts import Head as Head
    from mmalign.contracts import Latents as Latents
    from mmalign.contracts import LatentSpace as LatentSpace
    from mmalign.contracts import Loss as Loss
    from mmalign.contracts import Method as Method
    from mmalign.contracts import Modality as Modality
    from mmalign.contracts import Parts as Parts
    from mmalign.contracts import Products as Products
    from mmalign.contracts import Reclassable as Reclassable
    from mmalign.contracts import ReconstructionError as ReconstructionError
    from mmalign.contracts import ScalerName as ScalerName
    from mmalign.contracts import Scorer as Scorer
    from mmalign.contracts import Variant as Variant
    from mmalign.contracts import Weighted as Weighted
    from mmalign.datafiles import Inspection as Inspection
    from mmalign.datafiles import Published as Published
    from mmalign.errors import AbsentError as AbsentError
    from mmalign.errors import MmalignError as MmalignError
    from mmalign.errors import did_you_mean as did_you_mean
    from mmalign.extras import need as need
    from mmalign.featurefile import FeatureFile as FeatureFile
    from mmalign.featurefile import read_features as read_features
    from mmalign.hooks import hookimpl as hookimpl
    from mmalign.hub import from_pretrained as from_pretrained
    from mmalign.hub import push_to_hub as push_to_hub
    from mmalign.linear import Linear as Linear
    from mmalign.linear import LinearPair as LinearPair
    from mmalign.linearfit import fit_linear as fit_linear
    from mmalign.loop import Loop as Loop
    from mmalign.losses import ERRORS as ERRORS
    from mmalign.losses import CrossAlignment as CrossAlignment
    from mmalign.losses import Objective as Objective
    from mmalign.losses import Ramp as Ramp
    from mmalign.losses import Wasserstein as Wasserstein
    from mmalign.losses import kl as kl
    from mmalign.losses import ramp as ramp
    from mmalign.memory import refuse_too_large as refuse_too_large
    from mmalign.modality import Features as Features
    from mmalign.modality import Widths as Widths
    from mmalign.model import Model as Model
    from mmalign.npyfile import map_npy as map_npy
    from mmalign.onnxfile import export_onnx as export_onnx
    from mmalign.pictures import Preparation as Preparation
    from mmalign.pictures import read_picture as read_picture
    from mmalign.protocol import Protocol as Protocol
    from mmalign.protocol import pose as pose
    from mmalign.protocol import validation as validation
    from mmalign.report import Measures as Measures
    from mmalign.report import Report as Report
    from mmalign.report import measure as measure
    from mmalign.report import stacking_bias as stacking_bias
    from mmalign.report import top1 as top1
    from mmalign.scaling import scale as scale
    from mmalign.sources import LatentSource as LatentSource
    from mmalign.sources import draw_from as draw_from
    from mmalign.sources import modalities_of as modalities_of
    from mmalign.stored import Store as Store
    from mmalign.stored import Stored as Stored
    from mmalign.stores import opened as opened
    from mmalign.stores.parquet import read_parquet as read_parquet
    from mmalign.stores.parquet import read_parquet_names as read_parquet_names
    from mmalign.systems.rows import Asked as Asked
    from mmalign.systems.rows import Rows as Rows
    from mmalign.systems.system import Epoch as Epoch
    from mmalign.systems.system import Scoring as Scoring
    from mmalign.systems.system import System as System
    from mmalign.together import train_together as train_together
    from mmalign.together import why_apart as why_apart
    from mmalign.train import precision_of as precision_of
    from mmalign.train import train_aligner as train_aligner
    from mmalign.types import Facts as Facts
    from mmalign.types import Gaussian as Gaussian
    from mmalign.types import Level as Level
    from mmalign.types import Problem as Problem
    from mmalign.types import Question as Question
    from mmalign.types import Scaling as Scaling
    from mmalign.types import Session as Session
    from mmalign.types import Shots as Shots
    from mmalign.types import Signature as Signature
    from mmalign.types import Source as Source
    from mmalign.types import Splits as Splits
    from mmalign.types import Texts as Texts
    from mmalign.types import Training as Training
    from mmalign.types import View as View
    from mmalign.withheld import Mix as Mix
    from mmalign.writing import write_whole as write_whole

_HOMES = {
    "align": ("Aligner", "Batch", "Noise", "Pass", "Scale", "sample"),
    "arrays": ("Floats", "Indices", "Mask"),
    "asking": ("fit_head", "head_scores", "tune_head"),
    "bundle": ("load", "save_model"),
    "calibration": ("fit_temperature",),
    "classfile": (
        *("Classes", "Line", "Problems", "Table"),
        *("file_inside", "read_classes", "read_table", "some_names"),
    ),
    "contracts": (
        *("Backbone", "Exportable", "Extractor"),
        *("Dataset", "ErrorName", "Fitted", "FittedHead", "Head", "Latents", "Loss", "Method"),
        "LatentSpace",
        *(
            "Modality",
            "Parts",
            "Products",
            "Reclassable",
            "ReconstructionError",
            "ScalerName",
            "Scorer",
            "Variant",
            "Weighted",
        ),
    ),
    "datafiles": ("Inspection", "Published"),
    "errors": ("AbsentError", "MmalignError", "did_you_mean"),
    "extras": ("need",),
    "featurefile": ("FeatureFile", "read_features"),
    "hooks": ("hookimpl",),
    "hub": ("from_pretrained", "push_to_hub"),
    "linear": ("Linear", "LinearPair"),
    "linearfit": ("fit_linear",),
    "loop": ("Loop",),
    "losses": ("CrossAlignment", "ERRORS", "Objective", "Ramp", "Wasserstein", "kl", "ramp"),
    "memory": ("refuse_too_large",),
    "modality": ("Features", "Widths"),
    "model": ("Model",),
    "npyfile": ("map_npy",),
    "onnxfile": ("export_onnx",),
    "pictures": ("Preparation", "read_picture"),
    "protocol": ("Protocol", "pose", "validation"),
    "report": ("Measures", "Report", "measure", "stacking_bias", "top1"),
    "scaling": ("scale",),
    "sources": ("LatentSource", "draw_from", "modalities_of"),
    "stored": ("Store", "Stored"),
    "stores": ("opened",),
    "stores.parquet": ("read_parquet", "read_parquet_names"),
    "systems.rows": ("Asked", "Rows"),
    "systems.system": ("Epoch", "Scoring", "System"),
    "together": ("train_together", "why_apart"),
    "train": ("precision_of", "train_aligner"),
    "types": (
        *("Facts", "Gaussian", "Level", "Problem", "Question"),
        *("Scaling", "Session", "Shots", "Signature", "Source", "Splits", "Texts", "Training"),
        "View",
    ),
    "withheld": ("Mix",),
    "writing": ("write_whole",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["component", *_HOME]


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'mmalign' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"mmalign.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
