import csv
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from geomlearn.data import from_arrays, from_csv

HEADERS = ["t", "x", "y", "z", "qw", "qx", "qy", "qz", "vx", "vy", "vz", "wx", "wy", "wz", "u1", "u2", "note"]
COLUMNS: dict[str, Any] = {
    "times": "t", "orientation": ["qw", "qx", "qy", "qz"], "position": ["x", "y", "z"],
    "velocity": ["vx", "vy", "vz"], "angular_velocity": ["wx", "wy", "wz"], "controls": ["u1", "u2"],
}  # fmt: skip
HOW: dict[str, Any] = {"quaternion": "wxyz", "velocity_frame": "world", "angular_velocity_frame": "body"}


def held(data):
    assert data.controls is not None
    return data.controls


def table(length=10):
    rng = np.random.default_rng(0)
    q = np.roll(Rotation.random(length, rng=rng).as_quat(), 1, axis=1)
    return np.hstack(
        [0.1 * np.arange(length)[:, None], rng.normal(size=(length, 3)), q, rng.normal(size=(length, 8))]
    )


def write(path, rows, headers=HEADERS, delimiter=",", encoding="utf-8"):
    with path.open("w", newline="", encoding=encoding) as stream:
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerow(headers)
        writer.writerows(rows)
    return path


def text(numbers):
    return [[*(repr(float(v)) for v in row), "free text"] for row in numbers]


@pytest.mark.parametrize(("delimiter", "encoding"), [(",", "utf-8"), (";", "utf-8"), ("\t", "utf-8-sig")])
def test_reads_the_numbers_that_were_written(tmp_path, delimiter, encoding):
    numbers = table()
    path = write(tmp_path / "a.csv", text(numbers), delimiter=delimiter, encoding=encoding)
    got = from_csv(path, COLUMNS, delimiter=delimiter, **HOW)
    parts = np.split(numbers, [1, 4, 8, 11, 14], axis=1)
    want = from_arrays(parts[0][:, 0], parts[2], parts[1], parts[3], parts[4], parts[5], **HOW)
    assert torch.equal(got.times, want.times)
    assert torch.equal(got.states, want.states)
    assert torch.equal(held(got), held(want))
    assert got.name == str(path)


def test_columns_may_stand_in_any_order_and_blank_lines_are_skipped(tmp_path):
    numbers = table()
    order = np.random.default_rng(3).permutation(len(HEADERS))
    rows = [[row[k] for k in order] for row in text(numbers)]
    rows.insert(4, [])
    path = write(tmp_path / "a.csv", rows, [f" {HEADERS[k]} " for k in order])
    plain = write(tmp_path / "b.csv", text(numbers))
    assert torch.equal(from_csv(path, COLUMNS, **HOW).states, from_csv(plain, COLUMNS, **HOW).states)


def test_says_which_columns_are_missing_and_which_exist(tmp_path):
    path = write(tmp_path / "a.csv", text(table()))
    with pytest.raises(
        ValueError, match=r"a.csv, line 1: there is no column 'qq', 'w'; .* are \['t', 'x', 'y'"
    ):
        from_csv(path, {**COLUMNS, "orientation": ["qq", "qx", "qy", "w"]}, **HOW)
    double = write(tmp_path / "b.csv", text(table()), [*HEADERS[:-1], "wz"])
    with pytest.raises(ValueError, match=r"b.csv, line 1: the header 'wz' stands over 2 columns"):
        from_csv(double, COLUMNS, **HOW)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(ValueError, match=r"empty.csv, line 1: there is no column"):
        from_csv(tmp_path / "empty.csv", COLUMNS, **HOW)


@pytest.mark.parametrize(("field", "message"), [
    ("1.2.3", "expected a number, got '1.2.3'"), ("", "expected a number, got ''"),
    ("0,5", "expected a number, got '0,5'"), ("NaN", "expected a finite number, got 'NaN'"),
    ("-inf", "expected a finite number, got '-inf'"),
])  # fmt: skip
def test_names_file_line_and_header_of_a_bad_field(tmp_path, field, message):
    rows = text(table())
    rows[6][12] = field
    path = write(tmp_path / "log.csv", rows)
    with pytest.raises(ValueError, match=rf"log.csv, line 8, column 'wy': {message}"):
        from_csv(path, COLUMNS, **HOW)


def test_a_bad_field_in_an_unused_column_is_no_error(tmp_path):
    rows = text(table())
    rows[6][16] = "nan"
    assert len(from_csv(write(tmp_path / "a.csv", rows), COLUMNS, **HOW)) == 10


def test_names_the_line_where_a_file_is_cut_off(tmp_path):
    path = write(tmp_path / "a.csv", text(table()))
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(
        ValueError, match=r"a.csv, line 11: expected 17 fields as in the header, got \d+; .*cut off"
    ):
        from_csv(path, COLUMNS, **HOW)


def test_names_the_line_of_bad_rotations_and_stamps(tmp_path):
    rows = text(table())
    rows.insert(2, [])
    rows[5][4:8] = ["1.0", "0.5", "0.0", "0.0"]
    with pytest.raises(
        ValueError, match=r"a.csv: expected unit quaternions, the worst is at line 7 with length 1.118"
    ):
        from_csv(write(tmp_path / "a.csv", rows), COLUMNS, **HOW)
    rows = text(table())
    rows[5][0] = "0.1"
    with pytest.raises(ValueError, match=r"line 7 at 0.1 s does not come after line 6 at 0.4 s"):
        from_csv(write(tmp_path / "a.csv", rows), COLUMNS, **HOW)
    rows = text(np.hstack([table()[:, :1], np.tile(np.eye(3).ravel(), (10, 1)), np.zeros((10, 6))]))
    rows[3][5] = "1.5"
    matrix = {"times": "t", "orientation": HEADERS[1:10]}
    with pytest.raises(ValueError, match=r"the worst is at line 5, off the group by 1.25"):
        from_csv(write(tmp_path / "a.csv", rows), matrix)


def test_refuses_mappings_that_say_too_little():
    with pytest.raises(ValueError, match=r"columns: expected keys out of \['times', .*got 'omega'"):
        from_csv("a.csv", {**COLUMNS, "omega": ["wx"]})
    with pytest.raises(ValueError, match=r"columns\['orientation'\]: expected 4 or 9 headers, got 3"):
        from_csv("a.csv", {**COLUMNS, "orientation": ["qx", "qy", "qz"]})
    with pytest.raises(ValueError, match=r"columns\['controls'\]: expected at least 1 headers, got 0"):
        from_csv("a.csv", {**COLUMNS, "controls": []})
    with pytest.raises(ValueError, match="columns: expected the key 'orientation'"):
        from_csv("a.csv", {"times": "t"})


def test_refuses_files_that_are_not_there_or_no_text(tmp_path):
    with pytest.raises(FileNotFoundError, match="path: there is no file"):
        from_csv(tmp_path / "a.csv", COLUMNS)
    (tmp_path / "a.csv").write_bytes(b"t,x\n\xff\xfe\n")
    with pytest.raises(ValueError, match=r"a.csv: expected text in UTF-8"):
        from_csv(tmp_path / "a.csv", {"times": "t", "orientation": ["x"] * 4})
    (tmp_path / "b.csv").write_text(",".join(HEADERS) + '\n1,"2\n')
    with pytest.raises(ValueError, match=r"b.csv, line 2: not readable as CSV"):
        from_csv(tmp_path / "b.csv", COLUMNS)
