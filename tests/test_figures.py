"""Figures: what they show, whole files, text that can be read at the size of print."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.image import imread

from mmalign.component import build
from mmalign.drawing import apart, draw
from mmalign.errors import MmalignError
from mmalign.figure import Figure
from mmalign.series import matrix, series

SVG = "{http://www.w3.org/2000/svg}"
VALUES = {("da", 16): 0.4, ("da", 64): 0.45, ("cada", 16): 0.5, ("cada", 64): 0.52}


def rows(seeds=3, **more):
    """A sweep over two named cells and two latent sizes."""
    return [
        {
            "cell": f"{name}, latent={latent}", "part": name, "method.latent": latent,
            "seed": seed, "variant": "", "S": h + 0.02, "U": h - 0.02, "H": h + 0.01 * (seed - 1),
            "published_H": h + 0.01, "seconds": 1.0, "folder": "x", **more,
        }
        for (name, latent), h in VALUES.items() for seed in range(seeds)
    ]  # fmt: skip


def figure(**fields):
    made, wrong = build(Figure, fields, "figure")
    assert made is not None, wrong
    return made


KINDS = {
    "bars": figure(kind="bars", y=["S", "U", "H"], title="CUB"),
    "grouped": figure(kind="bars", x="part", hue="method.latent", names={"da": "DA-VAE"}),
    "lines": figure(kind="lines", x="method.latent", hue="part", log=True, xlabel="latent size"),
    "heatmap": figure(kind="heatmap", x="method.latent", rows="seed"),
    "page": figure(kind="bars", width="page", height=3.0),
}


def texts(path):
    return [
        "".join(each.itertext()).strip()
        for each in ElementTree.parse(path).iter(f"{SVG}text")
    ]  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_svg_and_png_have_the_size_of_a_paper_s_column_or_page(tmp_path, name):
    svg, png = draw(KINDS[name], rows(), tmp_path)
    inches = 6.9 if name == "page" else 3.3
    root = ElementTree.parse(svg).getroot()
    assert root.tag == f"{SVG}svg"
    assert float(root.get("width").removesuffix("pt")) == pytest.approx(72 * inches, abs=0.1)
    pixels = imread(png)
    assert pixels.shape[1] == 300 * inches
    assert pixels[..., :3].std() > 0.1  # something is drawn


@pytest.mark.parametrize("name", KINDS)
def test_no_text_is_smaller_than_seven_points_or_leaves_the_figure(tmp_path, name):
    svg, png = draw(KINDS[name], rows(), tmp_path)
    sizes = re.findall(r"font(?:-size)?: (?:\w+ )*([\d.]+)px", svg.read_text(encoding="utf-8"))
    assert len(sizes) == len(texts(svg))
    assert min(map(float, sizes)) >= 7
    pixels = imread(png)[..., :3]
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (edge == 1).all()


@pytest.mark.parametrize("name", KINDS)
def test_the_same_rows_give_the_same_bytes(tmp_path, name):
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
    for one, two in zip(
        draw(KINDS[name], rows(), tmp_path / "one"),
        draw(KINDS[name], rows(), tmp_path / "two"),
        strict=True,
    ):
        assert one.read_bytes() == two.read_bytes()


def test_names_metrics_units_and_what_the_error_bars_are_stand_in_the_figure(tmp_path):
    said = texts(draw(KINDS["bars"], rows(), tmp_path)[0])
    for part in ("CUB", "S", "U", "H", "%", "published", "mean ± standard deviation of 3 runs"):
        assert part in said
    said = texts(draw(KINDS["grouped"], rows(), tmp_path)[0])
    for part in ("DA-VAE", "cada", "latent = 16", "latent = 64", "H (%)"):
        assert part in said
    said = texts(draw(KINDS["lines"], rows(), tmp_path)[0])
    for part in ("latent size", "16", "64", "da", "cada"):
        assert part in said
    said = texts(draw(KINDS["heatmap"], rows(), tmp_path)[0])
    assert {"latent", "seed", "H (%)", "44.0"} <= set(said)


def test_one_run_has_no_error_bar_and_says_nothing_of_one(tmp_path):
    said = texts(draw(KINDS["bars"], rows(seeds=1), tmp_path)[0])
    assert not any("deviation" in text for text in said)


def test_points_are_mean_and_sample_deviation_in_per_cent():
    (each,) = series(figure(kind="lines", x="method.latent"), rows(), numbers=True)
    assert [point.at for point in each.points] == [16, 64]
    runs = 100 * np.array([0.4 + d for d in (-0.01, 0, 0.01)] + [0.5 + d for d in (-0.01, 0, 0.01)])
    assert each.points[0].mean == pytest.approx(runs.mean())
    assert each.points[0].std == pytest.approx(runs.std(ddof=1))
    assert each.points[0].count == 6
    assert each.points[0].published is None  # two different ones
    grouped = series(KINDS["grouped"], rows())
    assert [one.name for one in grouped] == ["latent = 16", "latent = 64"]
    assert grouped[0].points[0].published == pytest.approx(41)


def test_a_matrix_is_ordered_by_number_and_empty_where_no_run_is():
    given = [row for row in rows() if (row["method.latent"], row["part"]) != (64, "da")]
    across, up, values = matrix(figure(kind="heatmap", x="method.latent", rows="part"), given[::-1])
    assert (across, up) == (["16", "64"], ["cada", "da"])
    assert values[0] == pytest.approx([50, 52])
    assert values[1][0] == pytest.approx(40)
    assert np.isnan(values[1][1])


def test_a_variant_is_drawn_where_it_is_asked_for(tmp_path):
    both = [*rows(), *rows(variant="nearest")]
    for name in ("", "nearest"):
        draw(figure(kind="bars", variant=name, names={"H": f"H {name}"}), both, tmp_path)
    said = texts(draw(figure(kind="bars", hue="variant"), both, tmp_path)[0])
    assert {"plain", "nearest"} <= set(said)
    with pytest.raises(MmalignError, match="did you mean 'nearest'"):
        draw(figure(kind="bars", variant="neares"), both, tmp_path)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "bars", "y": ["HH"]}, "no metric 'HH' here; known: H, S, U"),
        ({"kind": "lines"}, "lines need numbers along 'cell'; take bars"),
    ],
)
def test_what_the_rows_do_not_hold_is_named(tmp_path, fields, said):
    with pytest.raises(MmalignError, match=said):
        draw(figure(**fields), rows(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "heatmap", "x": "method.latent"},
        {"kind": "heatmap", "x": "a.b", "rows": "c.d", "y": ["S", "U"]},
        {"kind": "bars", "rows": "method.latent"},
        {"kind": "bars", "y": ["S", "U"], "hue": "part"},
        {"kind": "bars", "y": []},
        {"kind": "bars", "width": "poster"},
    ],
)
def test_a_figure_that_makes_no_sense_is_refused(fields):
    assert build(Figure, fields, "figure")[0] is None


def test_a_cell_of_several_parts_is_a_point_of_each():
    made = [
        {**row, "part": "one; other" if row["part"] == "da" else "other", "at": at}
        for at, row in enumerate(rows(seeds=1))
    ]
    given = figure(kind="lines", x="at", hue="part")
    found = {each.name: each for each in series(given, made, True)}
    assert set(found) == {"one", "other"}
    assert [point.at for point in found["other"].points] == [0, 1, 2, 3]
    assert [point.at for point in found["one"].points] == [0, 1]


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["A, use=cub", "B, use=cub"], ["A", "B"]),
        (["A, k=1, use=cub", "B, k=1, use=cub"], ["A", "B"]),
        (["A, use=cub", "A, use=sun"], ["A, use=cub", "A, use=sun"]),
        (["A, use=cub", "B"], ["A, use=cub", "B"]),
        (["A, use=cub"], ["A, use=cub"]),
        (["use=cub", "use=cub"], ["use=cub", "use=cub"]),
    ],
)
def test_what_all_bars_have_in_common_is_not_said_below_each(names, shown):
    assert apart(names) == shown
