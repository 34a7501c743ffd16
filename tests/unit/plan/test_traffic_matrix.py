"""Traffic matrices: both CSV forms and npz say the same; what means nothing is refused with its file and line."""

import io
import zipfile
from typing import Any

import numpy as np
import pytest

from superpod.errors import ScenarioError
from superpod.plan.fabric.traffic_matrix import aggregated, read_traffic


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


FLOWS = b"src,dst,bytes\n0,1,5\n2,0,7\n"
SQUARE = b"9,5,0\n0,0,0\n7,0,0\n"
ARRAYS = npz(bytes=np.array([[9, 5, 0], [0, 0, 0], [7, 0, 0]]))
COLUMNS = npz(src=np.array([0, 2]), dst=np.array([1, 0]), bytes=np.array([5.0, 7.0]))


@pytest.mark.parametrize(
    ("content", "name"), [(FLOWS, "t.csv"), (SQUARE, "t.csv"), (ARRAYS, "t.npz"), (COLUMNS, "t.npz")]
)
def test_every_form_says_the_same(content: bytes, name: str) -> None:
    found = read_traffic(content, name, 3)
    assert (found.src.tolist(), found.dst.tolist()) == ([0, 2], [1, 0])
    assert found.size_bytes.tolist() == [5.0, 7.0]
    assert found.start_s.tolist() == [0.0, 0.0]


def test_flows_may_begin_later() -> None:
    assert read_traffic(b"src,dst,bytes,start_s\r\n0,1,5,0.25\r\n", "t.csv", 2).start_s.tolist() == [0.25]


def test_neighbours_are_taken_together() -> None:
    assert aggregated(read_traffic(FLOWS, "t.csv", 4), 4, 2).tolist() == [[5.0, 0.0], [7.0, 0.0]]


@pytest.mark.parametrize(
    ("content", "name", "said", "where"),
    [
        (b"", "t.csv", "empty", "t.csv"),
        (b" \n", "t.npz", "empty", "t.npz"),
        (b"src,dst\n0,1\n", "t.csv", "expected src,dst,bytes", "t.csv:1"),
        (b"src,dst,bytes\n", "t.csv", "no flows", "t.csv"),
        (b"src,dst,bytes\n0,1,5\n0,1\n", "t.csv", "2 columns", "t.csv:3"),
        (b"src,dst,bytes\n0,1,many\n", "t.csv", "expected a number", "t.csv:2"),
        (b"src,dst,bytes\n0,1,-5\n", "t.csv", "found -5", "t.csv:2"),
        (b"src,dst,bytes\n0,1,nan\n", "t.csv", "found nan", "t.csv:2"),
        (b"src,dst,bytes\n0,1,inf\n", "t.csv", "found inf", "t.csv:2"),
        (b"src,dst,bytes\n0,1,5\n0,3,5\n", "t.csv", "ranks 0 to 2", "t.csv:3"),
        (b"src,dst,bytes\n0.5,1,5\n", "t.csv", "ranks 0 to 2", "t.csv:2"),
        (b"src,dst,bytes\n1,1,5\n", "t.csv", "two different ranks", "t.csv:2"),
        (b"src,dst,bytes\n0,1,0\n", "t.csv", "no flow carries", "t.csv"),
        (b"src,dst,bytes,start_s\n0,1,5,-1\n", "t.csv", "start_s", "t.csv:2"),
        (b"1,2\n3\n", "t.csv", "square", "t.csv:2"),
        (b"0,1,2,3\n" * 4, "t.csv", "matrix of 4 x 4, expected 3 x 3", "t.csv"),
        (b"0,1\n1,0\n", "t.csv", "matrix of 2 x 2, expected 3 x 3", "t.csv"),
        (npz(bytes=np.ones((2, 2))), "t.npz", "matrix of 2 x 2, expected 3 x 3", "t.npz"),
        (b"src,dst,bytes\n0,1,5\n0,2,2e18\n", "t.csv", "expected at most 1e\\+18", "t.csv:3"),
        (npz(bytes=np.full((3, 3), 1e300)), "t.npz", "expected at most 1e\\+18", "t.npz"),
        (b"\xff\xfe\x00", "t.csv", "UTF-8", "t.csv"),
        (ARRAYS[:80], "t.npz", "damaged", "t.npz"),
        (b"PK nonsense", "t.npz", "damaged", "t.npz"),
        (npz(other=np.zeros(3)), "t.npz", "lacks the array", "t.npz"),
        (npz(bytes=np.zeros(3)), "t.npz", "n x n", "t.npz"),
        (npz(bytes=np.array(["a"])), "t.npz", "no numbers", "t.npz"),
        (npz(bytes=np.array([[object()]], dtype=object)), "t.npz", "Python objects", "t.npz"),
        (npz(src=np.zeros(2), dst=np.zeros(3), bytes=np.zeros(3)), "t.npz", "equal length", "t.npz"),
    ],
)
def test_what_means_nothing_is_refused(content: bytes, name: str, said: str, where: str) -> None:
    with pytest.raises(ScenarioError, match=said) as caught:
        read_traffic(content, name, 3)
    assert caught.value.where == where


def test_a_file_that_unpacks_to_too_much_is_refused() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed, packed.open("bytes.npy", "w") as entry:
        for _ in range(17):
            entry.write(bytes(2**26))
    with pytest.raises(ScenarioError, match="unpacks to"):
        read_traffic(stream.getvalue(), "t.npz", 3)


@pytest.mark.parametrize("shape", [(200_000, 200_000), (3, 4), (2**40, 2**40)])
def test_a_header_that_claims_more_than_its_file_holds_is_refused(shape: tuple[int, int]) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed, packed.open("bytes.npy", "w") as entry:
        np.lib.format.write_array_header_1_0(entry, {"descr": "<f8", "fortran_order": False, "shape": shape})
        entry.write(bytes(72))
    with pytest.raises(ScenarioError, match="claims the shape"):
        read_traffic(stream.getvalue(), "t.npz", shape[0])


def test_more_numbers_than_become_flows_are_refused() -> None:
    stream = io.BytesIO()
    count = 2**25 + 1
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for key in ("src", "dst", "bytes"):
            with packed.open(f"{key}.npy", "w") as entry:
                np.lib.format.write_array_header_1_0(entry, {"descr": "|u1", "fortran_order": False, "shape": (count,)})
                entry.write(bytes(count))
    with pytest.raises(ScenarioError, match="holds 33,554,433 numbers"):
        read_traffic(stream.getvalue(), "t.npz", 3)
