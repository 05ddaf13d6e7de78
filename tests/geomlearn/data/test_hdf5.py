import resource
import subprocess
import sys
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from geomlearn.data import Recording, Windows, from_arrays, from_hdf5, load_recordings, save_recordings
from integrators import StateSpace, rigid_body_space, vector
from lie import SE3, SO3

SPACE = rigid_body_space(SE3)
TORQUE = StateSpace(
    vector("thrust", 1, unit="N", frame="body"), vector("torque", 3, unit="N m", frame="body")
)


def held(data):
    assert data.controls is not None
    return data.controls


def windows(dtype=torch.float64, controls=True):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    R = SO3.random(8, 5, generator=generator, dtype=torch.float64)
    x = SPACE.pack(x=draw(8, 5, 3), R=R, v=draw(8, 5, 3), omega=draw(8, 5, 3)).to(dtype)
    u = draw(8, 4, 4).to(dtype) if controls else None
    label = torch.arange(8) // 2
    return Windows(x, u, 1 / 240, SPACE, label, TORQUE if controls else None, tol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("controls", [True, False])
def test_windows_come_back_bit_for_bit(tmp_path, dtype, controls):
    w = windows(dtype, controls)
    w.save(tmp_path / "w.h5")
    got = Windows.load(tmp_path / "w.h5")
    assert torch.equal(got.states, w.states)
    assert got.states.dtype == dtype
    assert (got.controls is None) == (not controls)
    assert not controls or torch.equal(held(got), held(w))
    assert torch.equal(got.recording, w.recording)
    assert (got.h, got.space, got.control_space, got.tol) == (w.h, w.space, w.control_space, w.tol)


def test_units_and_frames_can_be_read_without_the_library(tmp_path):
    windows().save(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as handle:
        assert handle.attrs["h"] == 1 / 240
        assert handle.attrs["time_unit"] == "s"
        assert handle["states"].attrs["units"] == (
            "x [m] in the world frame; R [1]; v [m/s] in the world frame; omega [rad/s] in the body frame"
        )
        assert (
            handle["controls"].attrs["units"]
            == "thrust [N] in the body frame; torque [N m] in the body frame"
        )


def test_recordings_come_back_bit_for_bit(tmp_path):
    w = windows()
    series = [
        Recording(
            torch.arange(5.0, dtype=torch.float64) ** 2, w.states[k], u, SPACE, space, name=f"flight {k}"
        )
        for k, u, space in ((0, w.controls[0], TORQUE), (1, None, None))
    ]
    save_recordings(tmp_path / "r.h5", series)
    for got, want in zip(load_recordings(tmp_path / "r.h5"), series, strict=True):
        assert torch.equal(got.times, want.times)
        assert torch.equal(got.states, want.states)
        assert got.controls is want.controls or torch.equal(held(got), held(want))
        assert (got.name, got.space, got.control_space) == (want.name, want.space, want.control_space)
    save_recordings(tmp_path / "one.h5", series[0])
    assert len(load_recordings(tmp_path / "one.h5")) == 1
    with pytest.raises(ValueError, match="at least one recording"):
        save_recordings(tmp_path / "r.h5", [])


def test_arrays_of_other_programs(tmp_path):
    rng = np.random.default_rng(0)
    q, w = Rotation.random(6, rng=rng).as_quat(), rng.normal(size=(6, 3))
    with h5py.File(tmp_path / "log.h5", "w") as handle:
        handle["imu/t"], handle["imu/quat"], handle["imu/gyro"] = np.arange(6.0), q, w
    names = {"times": "imu/t", "orientation": "imu/quat", "angular_velocity": "imu/gyro"}
    how: dict[str, Any] = {"quaternion": "xyzw", "angular_velocity_frame": "world"}
    got = from_hdf5(tmp_path / "log.h5", names, **how)
    want = from_arrays(np.arange(6.0), q, angular_velocity=w, **how)
    assert torch.equal(got.states, want.states)
    with pytest.raises(
        ValueError,
        match=r"no array 'imu/q' for orientation; the arrays are \['imu/gyro', 'imu/quat', 'imu/t'",
    ):
        from_hdf5(tmp_path / "log.h5", {**names, "orientation": "imu/q"}, **how)
    with pytest.raises(ValueError, match="no array 'imu' for orientation"):
        from_hdf5(tmp_path / "log.h5", {**names, "orientation": "imu"}, **how)
    with pytest.raises(ValueError, match="datasets: expected 'times', 'orientation' and keys out of"):
        from_hdf5(tmp_path / "log.h5", {**names, "gyro": "imu/gyro"}, **how)
    with pytest.raises(ValueError, match="datasets: expected 'times', 'orientation'"):
        from_hdf5(tmp_path / "log.h5", {"times": "imu/t"}, **how)
    with h5py.File(tmp_path / "log.h5", "a") as handle:
        handle["imu/gyro"][4, 1] = np.nan
    with pytest.raises(
        ValueError, match=r"log.h5: expected finite numbers, got nan at row 4, column angular_velocity\[1\]"
    ):
        from_hdf5(tmp_path / "log.h5", names, **how)


READERS = [Windows.load, load_recordings, lambda path: from_hdf5(path, {"times": "t", "orientation": "q"})]


@pytest.mark.parametrize("read", READERS)
def test_files_that_are_missing_truncated_or_of_another_kind(tmp_path, read):
    path = tmp_path / "w.h5"
    with pytest.raises(FileNotFoundError, match="path: there is no file"):
        read(path)
    path.write_text("no HDF5")
    with pytest.raises(ValueError, match=r"w.h5: cannot be read; the file is truncated, damaged or not HDF5"):
        read(path)
    windows().save(path)
    content = path.read_bytes()
    for share in (0.0, 0.3, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(
            ValueError, match=r"w.h5: cannot be read; the file is truncated, damaged or not HDF5"
        ):
            read(path)


def test_a_flipped_bit_in_the_numbers_is_found(tmp_path):
    path = tmp_path / "w.h5"
    w = windows()
    w.save(path)
    content = bytearray(path.read_bytes())
    place = content.index(w.states[3, 2, 1].numpy().tobytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"w.h5: cannot be read"):
        Windows.load(path)


def test_says_what_else_a_file_holds(tmp_path):
    path = tmp_path / "w.h5"
    windows().save(path)
    with pytest.raises(ValueError, match=r"w.h5: expected a file of recordings .*got 'geomlearn.windows'"):
        load_recordings(path)
    with h5py.File(path, "a") as handle:
        del handle["recording"]
    with pytest.raises(
        ValueError, match=r"there is no array 'recording' in /, only \['controls', 'states'\]"
    ):
        Windows.load(path)
    with h5py.File(path, "a") as handle:
        del handle["states"].attrs["layout"]
    with pytest.raises(ValueError, match="the array 'states' in / or its attribute 'layout' is missing"):
        Windows.load(path)
    with h5py.File(path, "a") as handle:
        del handle.attrs["h"]
    with pytest.raises(ValueError, match="the attribute 'h' is missing"):
        Windows.load(path)
    with h5py.File(path, "a") as handle:
        handle.attrs["version"] = 99
    with pytest.raises(ValueError, match="expected format version 1, got 99"):
        Windows.load(path)
    with h5py.File(path, "w") as handle:
        handle.attrs.update({"format": "geomlearn.recordings", "version": 1})
    with pytest.raises(ValueError, match="there is no group 'recordings'"):
        load_recordings(path)


def test_numbers_are_checked_when_they_are_read(tmp_path):
    path = tmp_path / "w.h5"
    windows().save(path)
    with h5py.File(path, "a") as handle:
        handle["states"][2, 1, 4] = 7.0
    with pytest.raises(
        ValueError, match=r"columns R\[0,0\] ... R\[2,2\], the worst is at window 2, sample 1"
    ):
        Windows.load(path)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (
            '[{"name": "R", "group": "SO99", "shape": [3, 3], "unit": "1", "frame": ""}]',
            "one of the groups .*'SO99'",
        ),
        ("[1", "expected a JSON list of parts"),
        ('[{"name": "R"}]', "expected a JSON list of parts"),
        ("[]", "one or more parts"),
    ],
)
def test_damaged_layouts_are_refused(tmp_path, layout, message):
    windows().save(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "a") as handle:
        handle["states"].attrs["layout"] = layout
    with pytest.raises(ValueError, match=message):
        Windows.load(tmp_path / "w.h5")


def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "w.h5"
    windows().save(path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            windows(controls=False).save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_exception_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "w.h5"
    windows().save(path)
    before = path.read_bytes()
    monkeypatch.setattr("geomlearn.data._store.layout_to_json", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        windows().save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_another_process_reads_the_file(tmp_path):
    windows().save(tmp_path / "w.h5")
    code = "import sys, h5py; print(h5py.File(sys.argv[1])['states'][3, 2, 1].hex())"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "w.h5")], capture_output=True, text=True, check=True
    )
    assert float.fromhex(done.stdout.strip()) == float(windows().states[3, 2, 1])
