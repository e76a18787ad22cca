"""Every command line of every page, and what says that it works."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PROGRAMS = r"mmalign|make|python3?|pip|pytest|torchrun|ray|source|export|git|tensorboard|mlflow"
LINE = re.compile(rf"^(?:    )?(?:\$ )?((?:[A-Z_]+=\S+ )*(?:{PROGRAMS}) .*?)(?:  +#.*)?$", re.M)
QUOTED = ("text", "python", "toml", "csv", "json")  # blocks of outputs and files
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
INDENTED = re.compile(r"(?:^    .*\n?)+", re.M)
CUB = (
    "--set dataset.root=PATH/xlsa17 --set dataset.features=resnet_fc1000"  # docs/results.md says so
)


class Command(NamedTuple):
    """A line of a page, of the shell."""

    page: str
    line: str


def pages():
    """The pages that people wrote; docs/reference is made from the programs themselves."""
    top = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    return sorted([*top, *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/README.md")])


def commands():
    """All command lines, in blocks of the shell and in indented ones."""
    found = []
    for path in pages():
        text = path.read_text(encoding="utf-8")
        blocks = [block for language, block in FENCED.findall(text) if language not in QUOTED]
        blocks += INDENTED.findall(FENCED.sub("", text))
        name = path.relative_to(ROOT).as_posix()
        found += [Command(name, line) for block in blocks for line in LINE.findall(block)]
    return found


# Pages of which a test does the commands, in their order and at small size where they take long.
WALKED = {
    "docs/tutorial.md": "test_tutorial.py",
    "docs/models.md": "test_models_page.py",
    "docs/own-data.md": "test_own_data_page.py",
    "docs/sharing.md": "test_sharing_page.py",
    "docs/features.md": "test_features_page.py",
    "docs/own-modality.md": "test_own_pages.py",
    "docs/own-loss.md": "test_own_pages.py",
    "docs/own-method.md": "test_own_pages.py",
}
# Elsewhere: (page, how the line opens) -> the test that runs it, or the like of it.
RUN_BY = {
    ("README.md", "make run"): "test_tutorial.py",
    ("README.md", "make test"): "test_commands_of_pages.py",
    ("README.md", "mmalign run quickstart"): "test_readme.py",
    ("README.md", "mmalign run mine.toml"): "test_tutorial.py",
    ("README.md", "mmalign add-classes"): "test_readme.py",
    ("README.md", "mmalign predict"): "test_readme.py",
    ("docs/index.md", "make run"): "test_tutorial.py",
    ("docs/index.md", "make test"): "test_commands_of_pages.py",
    ("docs/cluster.md", "mmalign run"): "test_ray.py",
    ("docs/cluster.md", "mmalign tune"): "test_ray.py",
    ("docs/cluster.md", "mmalign table"): "test_comparison.py",
    ("docs/comparing.md", "pip install"): "test_example_plugin.py",
    ("docs/comparing.md", "mmalign run examples"): "test_example_plugin.py",
    ("docs/comparing.md", "mmalign run synthetic_table"): "test_systems.py",
    ("docs/comparing.md", "mmalign table conse"): "test_example_plugin.py",
    ("docs/comparing.md", "mmalign table"): "test_comparison.py",
    ("docs/comparing.md", "pytest"): "test_example_plugin.py",
    ("docs/distributed.md", "mmalign run synthetic --devices 2"): "test_distributed.py",
    ("docs/distributed.md", "torchrun"): "test_distributed.py",
    ("docs/distributed.md", "MASTER_ADDR"): "test_distributed.py",
    ("docs/emoji.md", "mmalign extract"): "test_extract.py",
    ("docs/emoji.md", "mmalign run quickstart"): "test_readme.py",
    ("docs/imagenet.md", "python tools/make_imagenet_like.py"): "test_imagenet_page.py",
    ("docs/imagenet.md", "mmalign run imagenet --set dataset.split=all"): "test_imagenet_page.py",
    ("docs/play.md", "mmalign play"): "test_play.py",
    ("docs/play.md", "mmalign run"): "test_cli.py",
    ("docs/reports.md", "mmalign"): "test_report_page.py",
    ("docs/results.md", "mmalign table"): "test_comparison.py",
    ("docs/sweeps.md", "mmalign run"): "test_sweep.py",
    ("docs/sweeps.md", "mmalign tune"): "test_tune.py",
    ("docs/terminal.md", "mmalign run synthetic --seeds"): "test_cli.py",
    ("docs/terminal.md", "mmalign run synthetic_sweep"): "test_sweep.py",
    ("docs/trackers.md", "mmalign"): "test_trackers.py",
    ("examples/mmalign-conse/README.md", ""): "test_example_plugin.py",
    ("examples/mmalign-conse/README.md", "mmalign ls"): "test_own_pages.py",
    ("examples/mmalign-gaze/README.md", ""): "test_example_plugin.py",
    ("examples/mmalign-gaze/README.md", "mmalign ls"): "test_own_pages.py",
}
# Nothing runs these; they are parsed, and their recipes checked, by test_commands_of_pages.py.
NEEDS_CUB = "the public files cannot be shipped, and a run of them takes minutes to hours"
NEEDS_HOURS = "hours; the recipe is checked, and its kind of run is tested on made-up data"
PARSED = {
    ("README.md", "mmalign run cub_"): NEEDS_CUB,
    ("docs/cluster.md", "export RAY"): "of Ray's own; test_ray.py starts a cluster by its Python",
    ("docs/cluster.md", "RAY_USAGE"): "of Ray's own; test_ray.py starts a cluster by its Python",
    ("docs/cluster.md", "ray start"): "of Ray's own; test_ray.py starts a cluster by its Python",
    ("docs/coming-from-cada-vae.md", "mmalign run cub_"): NEEDS_CUB,
    ("docs/comparing.md", "mmalign run table2"): NEEDS_CUB,
    ("docs/distributed.md", "mmalign run synthetic --devices 4"): "four GPUs",
    ("docs/emoji.md", "mmalign run emoji_table"): NEEDS_HOURS,
    ("docs/imagenet.md", "mmalign run imagenet"): "ImageNet's features, which cannot be shipped",
    ("docs/models.md", "python benchmarks"): NEEDS_CUB,
    ("docs/results.md", "mmalign run cub_"): NEEDS_CUB,
    ("docs/results.md", "mmalign run table2"): NEEDS_CUB,
    ("docs/results.md", "mmalign run emoji_table"): NEEDS_HOURS,
    ("docs/play.md", "pip install"): "the extras are installed here",
    ("docs/sharing.md", "pip install"): "the extras are installed here",
    ("docs/features.md", "pip install"): "the extras are installed here",
}
# Run where they are found, by test_commands_of_pages.py: they take no time.
LIGHT = ("ls", "check", "plugins", "cp")


def told_by(command, table):
    """The entry of a table that speaks of a command: the one that says most of it."""
    found = [key for key in table if key[0] == command.page and command.line.startswith(key[1])]
    return max(found, key=lambda key: len(key[1]), default=None)
