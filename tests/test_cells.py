"""A sweep's cells: what a [sweep] table makes of a recipe, and every mistake at once."""

import pytest
from test_sweep import BASE

from mmalign.cells import expand
from mmalign.errors import RecipeError
from mmalign.grid import flat
from mmalign.plugins import discover
from mmalign.recipe import read, shipped

REGISTRY = discover()


def planned(tmp_path, text):
    (tmp_path / "mine.toml").write_text(BASE + text, encoding="utf-8")
    return expand(read(str(tmp_path / "mine.toml"), REGISTRY), REGISTRY)


def names(tmp_path, text):
    return [cell.name for cell in planned(tmp_path, text).cells]


def problems(tmp_path, text):
    with pytest.raises(RecipeError) as caught:
        planned(tmp_path, text)
    return list(caught.value.problems)


def test_a_dotted_key_and_nested_tables_say_the_same(tmp_path):
    quoted = planned(tmp_path, '[sweep]\n"method.latent" = [2, 3]\n"head.epochs" = [1]')
    nested = planned(tmp_path, "[sweep.method]\nlatent = [2, 3]\n[sweep.head]\nepochs = [1]")
    assert quoted == nested
    assert [cell.name for cell in quoted.cells] == ["latent=2, epochs=1", "latent=3, epochs=1"]
    assert quoted.keys == ("method.latent", "head.epochs")


def test_a_key_that_is_written_with_a_dot_takes_a_table_as_its_value():
    table = {"loss.cross.weight": {"to": 1.0}, "method": {"latent": 3}}
    assert dict(flat(table)) == {"loss.cross.weight": {"to": 1.0}, "method.latent": 3}


def test_the_first_key_moves_slowest_and_named_cells_slower_still(tmp_path):
    text = '[sweep]\n"method.latent"=[2,3]\n"method.lr"=[1e-3,1e-4]\n[sweep.cells]\na={}\n'
    text += 'b={without=["loss"]}\n'
    assert names(tmp_path, text) == [
        f"{name}, latent={latent}, lr={lr}"
        for name in "ab" for latent in (2, 3) for lr in (0.001, 0.0001)
    ]  # fmt: skip


def test_a_name_is_as_long_as_it_must_be(tmp_path):
    text = '[sweep]\n"loss.cross.weight"=[0.0]\n"loss.distribution.weight"=[0.0,{to=1.0,end=2}]\n'
    assert names(tmp_path, text) == [
        "cross.weight=0, distribution.weight=0",
        "cross.weight=0, distribution.weight=to 1 end 2",
    ]


def test_a_cell_is_its_recipe_with_what_it_sets(tmp_path):
    text = """
[run]
seeds = 4
[sweep.cells.a]
without = ["loss.cross"]
method.latent = 9
[sweep.cells.b]
"loss.cross" = { weight = 3.0 }
"""
    sweep = planned(tmp_path, text)
    a, b = sweep.cells
    assert sweep.seeds == (0, 1, 2, 3)
    assert list(a.recipe.parts.losses) == ["distribution"]
    assert a.recipe.method.latent == 9
    assert b.recipe.table["loss"]["cross"]["weight"] == 3.0
    assert a.folder != b.folder
    assert "sweep" not in a.recipe.table


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('"head.epochs" = 2', '"head.epochs" = 3', True),
        ('"protocol.search" = "all"', '"protocol.search" = "unseen"', True),
        ('"protocol.split" = "test"', '"protocol.split" = "validation"', False),
        ('"method.lr" = 1e-3', '"method.lr" = 1e-4', False),
        ('"loss.cross.weight" = 1.0', '"loss.cross.weight" = 2.0', False),
    ],
)
def test_cells_share_a_representation_if_only_head_or_question_differ(tmp_path, one, other, same):
    first, second = planned(tmp_path, f"[sweep.cells]\na={{{one}}}\nb={{{other}}}").cells
    assert (first.representation == second.representation) == same


WRONG = """
[sweep]
seeds = 0
models = "yes"
"method.latent" = 3
"method.lr" = []
"method.batch" = [2, 2]
"run.seeds" = [1, 2]
"head.seen" = [1, 2]
[sweep.cells]
a = 3
b = { without = "loss" }
c = { "head.seen" = 3 }
"""
MISTAKES = [
    "sweep.method.latent: a list of values was expected (got 3)",
    "sweep.method.lr: a list of values was expected (got [])",
    "sweep.method.batch: each value once",
    "sweep.cells.a: a table was expected (got 3)",
    "sweep.cells.b.without: a list of names was expected (got 'loss')",
    "sweep: 'run.seeds' cannot be varied; sweep.seeds says it for all cells",
    "sweep.cells.c: 'head.seen' is in the grid too; say it once",
    "sweep.seeds: ",
    "sweep.models: true or false was expected (got 'yes')",
]


def test_every_mistake_of_the_table_at_once(tmp_path):
    for line, start in zip(problems(tmp_path, WRONG), MISTAKES, strict=True):
        assert line.startswith(start)


def test_every_mistake_of_every_cell_with_its_name(tmp_path):
    text = """
[sweep.cells.a]
method.latnt = 3
without = ["loss.cros"]
[sweep.cells.b]
"method.latent" = "wide"
"loss.cross.weight.to.more" = 1
[sweep.cells.c]
method.epohcs = 2
head.epochs = 0
[figure]
kind = "lines"
x = "method.epochss"
"""
    starts = [
        "cell 'a': without 'loss.cros': there is no such table",
        "cell 'a': method.latnt: no such key; did you mean 'latent'?",
        "cell 'b': loss.cross.weight.to.more: 'weight' is no table",
        "cell 'b': method.latent: input should be a valid integer",
        "cell 'c': method.epohcs: no such key; did you mean 'epochs'?",
        "cell 'c': head.epochs: ",
        "figure: 'method.epochss' does not vary in this sweep; did you mean 'method.epohcs'?",
    ]
    for line, start in zip(problems(tmp_path, text), starts, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sweep]\n", "nothing varies"),
        ("[sweep]\nseeds = 3\n", "nothing varies"),
        ("[sweep]\ncells = 3\n", "tables [sweep.cells.NAME] were expected"),
        ("[sweep.cells.a]\n[sweep.cells.b]\nmethod.latent = 4\n", "'a' and 'b' are the same run"),
        ('[sweep]\n"sweep.seeds" = [1]\n', "'sweep.seeds' cannot be varied"),
        ('[sweep]\n"method.latent" = [2, "wide"]\n', "cell 'latent=wide': method.latent: "),
        ('[sweep]\n"method.latent" = [2]\n[figure]\nkind = "pie"\n', "figure.kind: "),
        ('[figure]\nkind = "bars"\n', "figure: it shows a sweep; give a [sweep]"),
    ],
)
def test_what_a_user_can_mend_in_a_sweep(tmp_path, text, said):
    assert any(said in line for line in problems(tmp_path, text))


@pytest.mark.parametrize("key", ["sweep", "figure", "tune"])
def test_what_is_no_table(key):
    with pytest.raises(RecipeError, match=f"{key}: a table was expected"):
        read("synthetic", REGISTRY, [f"{key}=3"])


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_sweep_is_sound(name):
    recipe = read(name, REGISTRY)
    if recipe.sweep is not None:
        assert len(expand(recipe, REGISTRY).cells) > 1


PARTS = """
[sweep.cells.a]
part = "first"
at = 1
"method.latent" = 2
[sweep.cells.b]
part = ["first", "second"]
at = 2.5
"method.latent" = 3
[figure]
kind = "lines"
x = "at"
hue = "part"
"""


def test_a_named_cell_says_the_parts_and_the_number_that_it_stands_at(tmp_path):
    cells = planned(tmp_path, PARTS).cells
    assert [(cell.part, cell.at) for cell in cells] == [
        (("first",), 1),
        (("first", "second"), 2.5),
    ]
    # They are no settings: the same run under other parts is the same cell.
    other = planned(tmp_path, PARTS.replace("at = 1", "at = 7").replace('"first"', '"third"', 1))
    assert [cell.folder for cell in other.cells] == [cell.folder for cell in cells]


def test_a_figure_needs_the_part_and_number_of_every_cell(tmp_path):
    without = PARTS.replace("at = 1\n", "").replace('part = "first"\n', "")
    said = problems(tmp_path, without)
    assert [line.partition(" does not vary")[0] for line in said] == [
        "figure: 'at'",
        "figure: 'part'",
    ]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("at = true", "sweep.cells.a.at: a number"),
        ('at = "x"', "sweep.cells.a.at: a number"),
        ("part = 3", "sweep.cells.a.part: a list of names"),
        ('part = [""]', "sweep.cells.a.part: a list of names"),
    ],
)
def test_wrong_parts_and_numbers_are_refused(tmp_path, wrong, said):
    text = f'[sweep.cells.a]\n{wrong}\n"method.latent" = 2\n'
    assert any(line.startswith(said) for line in problems(tmp_path, text))
