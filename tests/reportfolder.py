"""Folders of runs and sweeps as a run leaves them, made up: pages are drawn from them at once."""

import csv
import json

import numpy as np

from mmalign.report import statistic

HOSTILE = (
    "<script>document.title='hacked'</script>",
    '" onmouseover="document.title=\'hacked\'" x="',
    "'><img src=x onerror=\"document.title='hacked'\">",
    "</title></style></script><h1>mine</h1>",
    "{{ 7 * 7 }}{% raw %}",
    "long " * 400,
    "two\nlines\u202eand \x00\x1b[31mcontrols\ud800",
)


def metric(values):
    each = statistic(values)
    return {"mean": each.mean, "std": each.std, "ci95": each.ci95, "runs": list(each.runs)}


def names_of(seen, unseen):
    return [f"seen {i:03}" for i in range(seen)], [f"unseen {i:03}" for i in range(unseen)]


def report_of(seen, unseen, seeds, notes=(), variants=True):
    """What report.json holds."""
    draw = np.random.default_rng(0)
    summary = {
        name: metric(draw.uniform(at, at + 0.1, seeds).tolist())
        for name, at in (("S", 0.6), ("U", 0.3), ("H", 0.4), ("T1", 0.5), ("AUSUC", 0.3))
    }
    stacked = {n: metric(draw.uniform(0.4, 0.5, seeds).tolist()) for n in ("S", "U", "H")}
    return {
        "recipe": "made up",
        "notes": list(notes),
        "summary": {**summary, "U5": metric([0.8] * seeds)},
        "variants": {"calibrated stacking": stacked} if variants else {},
        "target": {"S": 65.0, "U": 34.0, "H": 52.4, "source": "nobody & sons"},
        "seeds": list(range(seeds)),
        "runs": [
            {
                "seed": seed,
                "facts": {"parameters": 1234, "choice": {"validation_H": [0.1, 0.3, 0.25]}},
                "per_class": {n: float(draw.uniform()) for n in (*seen, *unseen)},
            }
            for seed in range(seeds)
        ],
        "dataset": "made up",
        "seen": len(seen),
        "unseen": len(unseen),
        "features": ["image"],
        "side_information": ["attributes"],
        "reading": "Protocol: test split.",
        "data": {"file.mat": "ab" * 32},
        "versions": {"mmalign": "0.1.0"},
        "machine": {"device": "cpu"},
        "plugins": {"image": "mmalign 0.1.0"},
        "seconds": 12.3,
        "recipe_table": {"protocol": {"split": "test"}},
    }


def write_run(folder, seen, unseen, seeds=2, notes=(), epochs=5, variants=True):
    """A folder with all that a run leaves but its page and its model."""
    folder.mkdir(parents=True, exist_ok=True)
    draw, names = np.random.default_rng(1), [*seen, *unseen]
    report = report_of(seen, unseen, seeds, notes, variants)
    put(folder, "report.json", report)
    (folder / "recipe.toml").write_text('[dataset]\nuse = "made up"  # <b>&\n', encoding="utf-8")
    with (folder / "metrics.jsonl").open("w", encoding="utf-8") as file:
        for seed in range(seeds):
            for stage in ("representation", "head.all"):
                for epoch in range(1, epochs + 1):
                    terms = {"loss": 100 / epoch, "kl": float(draw.uniform()), "<i>": 0.1}
                    said = {"seed": seed, "stage": stage, "epoch": epoch, **terms}
                    file.write(json.dumps(said) + "\n")
    with (folder / "confusion.csv").open(
        "w", newline="", encoding="utf-8", errors="replace"
    ) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["seed", "true", "predicted", "count"])
        for seed in range(seeds):
            for place, name in enumerate(names):
                rows.writerow([seed, name, name, 3])
                rows.writerow([seed, name, names[place * 7 % len(names)], 1 + place % 3])
    curve = [[i / 20, round(0.9 - 0.9 * (i / 20) ** 2, 6)] for i in range(21)]
    points = {
        m: [[i, *draw.normal(size=2).round(3).tolist(), 10] for i in range(len(names))]
        for m in ("image", "<attributes>")
    }
    latent = {
        "seed": 0, "latent": 16, "explained": [0.4, 0.2], "of": len(names), "points": points,
        "classes": {str(i): name for i, name in enumerate(names)},
        "levels": {"image": "sample", "<attributes>": "class"},
    }  # fmt: skip
    curves = [{"seed": seed, "points": curve} for seed in range(seeds)]
    said = {"side": "unseen", "classes": list(unseen), "curves": curves, "map": latent}
    put(folder, "figures.json", said)
    return folder


def put(folder, name, said):
    (folder / name).write_text(json.dumps(said), encoding="utf-8")


def write_sweep(folder, cells, page=b"<p>a run's page", validation=(), split="test"):
    """A sweep's folder: ``cells`` are name and H of each seed, in [0, 1]."""
    folder.mkdir(parents=True, exist_ok=True)
    head = ["cell", "method.latent", "seed", "variant", "S", "U", "H", "published_H"]
    with (folder / "results.csv").open("w", newline="", encoding="utf-8", errors="replace") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([*head, "seconds", "folder"])
        for number, (name, values) in enumerate(cells):
            for seed, h in enumerate(values):
                place = f"cells/cell {number}#/seed-{seed}"
                run = folder / place / "mine" / "now"
                run.mkdir(parents=True)
                put(folder / place, "done.json", {"run": "mine/now", "seconds": 1.5})
                report = report_of(*names_of(3, 2), 1)
                report["runs"][0]["facts"] = {}
                if validation:
                    chosen = {"by": "validation", "H": {"value": validation[number]}}
                    report["runs"][0]["facts"] = {"chosen": chosen}
                report["recipe_table"]["protocol"]["split"] = split
                put(run, "report.json", report)
                (run / "report.html").write_bytes(page)
                line = [name, 2**number, seed, "", h, h, h, 0.5, 1.5, place]
                rows.writerow(line)
    return folder
