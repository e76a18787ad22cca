"""What a parquet file claims to hold, read without pyarrow: against pyarrow, and damaged."""

import random
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmalign import MmalignError, read_parquet
from mmalign.stores.footer import Compact, claims

CRASHED = ("found-3085f75b", "found-e916ae10")
TABLES = {
    "columns": pa.table({f"column {n}": np.arange(10.0) for n in range(20)}),
    "lists": pa.table({"it": [[1.0, 2.0], [], [3.0] * 700] * 5, "sample": list("abc") * 5}),
    "fixed": pa.table({"it": pa.FixedSizeListArray.from_arrays(np.arange(40.0), 4)}),
    "nested": pa.table({"it": pa.array([{"a": [1, None], "b": {"c": "x"}}] * 3)}),
    "none": pa.table({"it": pa.array([], pa.float32())}),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("more", [{}, {"compression": "gzip", "version": "1.0"}])
def test_what_a_file_claims_is_what_pyarrow_reads_of_it(name: str, more: dict, tmp_path: Path):
    pq.write_table(TABLES[name], tmp_path / "it", row_group_size=4, **more)
    about = pq.ParquetFile(tmp_path / "it").metadata
    found = claims(tmp_path / "it")
    assert len(found) == about.num_row_groups
    for place, group in enumerate(found):
        columns = [about.row_group(place).column(each) for each in range(about.num_columns)]
        assert group.rows == about.row_group(place).num_rows
        assert group.values == tuple(each.num_values for each in columns)
        assert group.bytes == tuple(each.total_uncompressed_size for each in columns)


def test_a_damaged_footer_is_an_error_and_takes_no_time(tmp_path: Path):
    draw = random.Random(0)
    pq.write_table(TABLES["lists"], tmp_path / "it", row_group_size=4)
    whole = (tmp_path / "it").read_bytes()
    length = int.from_bytes(whole[-8:-4], "little")
    for _ in range(2000):
        broken = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            broken[-draw.randint(1, length + 8)] = draw.choice((0, 255, draw.randrange(256)))
        (tmp_path / "broken").write_bytes(broken)
        with suppress(ValueError):  # or it is whole still, where the damage counts for nothing
            claims(tmp_path / "broken")


@pytest.mark.parametrize(
    "content",
    [
        bytes([0x19, 0xFC]) + b"\xff" * 8 + b"\x01",  # a list of 2**56 structs
        bytes([0x1B]) + b"\xff" * 8 + b"\x01\x11",  # a map of as many truth values
        bytes([0x18]) + b"\xff" * 8 + b"\x01",  # a text of as many bytes
        b"\x1c" * 200,  # structs without end
        b"\x19" * 200,
        b"\x16" + b"\xff" * 30,  # a number without end
        b"\x1f\x00",  # a kind that is none
        b"",
    ],
)
def test_claims_without_end_are_refused_at_once(content: bytes):
    for wanted in ({}, {1: None}, {1: {}}):
        with pytest.raises((IndexError, ValueError, TypeError)):
            Compact(content).struct(0, wanted)


def test_size_statistics_that_fit_no_page_end_in_a_sentence():
    """pyarrow's C++ threw past Python, and the process died (found by fuzzing)."""
    corpus = Path(__file__).parents[1] / "fuzz" / "corpus" / "parquet"
    for name in CRASHED:
        with pytest.raises(MmalignError, match="not readable as parquet"):
            read_parquet(corpus / name)
