"""A model card: the README.md of a model's folder, with the head that the Hub reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mmalign.report import Report
from mmalign.summary import MEANINGS, listed, percent


def card(report: Report, seed: int) -> str:
    """A model card: what the model is, how it scored, how to use it, and its limits."""
    context: Mapping[str, Any] = report.context
    rows = "\n".join(
        f"| {name} | {percent(each)} | {MEANINGS[name]} |" for name, each in listed(report).items()
    )
    notes = "".join(f"\n> **Warning.** {note}\n" for note in report.notes)
    hashes = "\n".join(f"- `{name}`: `{value}`" for name, value in context["data"].items())
    return CARD.format(
        index=json.dumps(model_index(report, seed)),
        recipe=report.recipe,
        notes=notes,
        method=context["recipe_table"]["method"]["use"],
        dataset=context["recipe_table"]["dataset"]["use"],
        modalities=", ".join(context["recipe_table"]["modality"]),
        seen=context["seen"],
        unseen=context["unseen"],
        seed=seed,
        seeds=len(set(report.seeds)),
        rows=rows,
        hashes=hashes,
        reading=context["reading"],
        versions=", ".join(f"{name} {value}" for name, value in context["versions"].items()),
    )


def model_index(report: Report, seed: int) -> list[dict[str, Any]]:
    """What this seed's model scored, as the Hugging Face Hub reads it from a card's head."""
    table = report.context["recipe_table"]
    measures = report.measures[report.seeds.index(seed)].summary()
    metrics = [
        {"type": "accuracy", "name": f"{name}: {MEANINGS[name]}", "value": round(measures[name], 4)}
        for name in listed(report)
    ]
    dataset = table["dataset"]["use"]
    result = {
        "task": {"type": "zero-shot-classification", "name": "Zero-shot recognition of classes"},
        "dataset": {"type": dataset, "name": dataset, "split": table["protocol"]["split"]},
        "metrics": metrics,
    }
    return [{"name": report.recipe, "results": [result]}]


CARD = """---
library_name: mmalign
tags: [zero-shot-learning, {method}]
metrics: [accuracy]
model-index: {index}
---
# {recipe}
{notes}
A `{method}` model trained on `{dataset}` from {modalities}: {seen} seen classes, and {unseen}
that it knows from their description only. It is the model of seed {seed}.

| % | over {seeds} seed(s) | |
|---|---|---|
{rows}

{reading}

## Use

```python
import mmalign

model = mmalign.load("model")  # or mmalign.from_pretrained("OWNER/NAME")
model.predict(features, top=5)  # (rows, dim), raw: the model scales them itself
```

```
mmalign predict model features.npy
```

## Limits

Scores order the classes of one row. Probabilities come from one temperature, fitted on the
validation protocol: other classes, and fewer of them. Features must come from the backbone that
made the training features.

## Data

SHA-256 of the files that it was trained on:

{hashes}

Made with {versions}.
"""
