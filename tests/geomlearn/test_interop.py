"""Objects of scipy, ROS, MuJoCo and, where installed, pypose to tensors and back."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from scipy.spatial.transform import Rotation

from geomlearn import interop
from lie import SE3, SO3, Sim3

EPS = 2.0**-52


def motion(*shape, dtype=torch.float64):
    return SE3.random(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def close(got, expected, atol=16 * EPS):
    torch.testing.assert_close(got, torch.as_tensor(expected, dtype=torch.float64), rtol=0, atol=atol)


# scipy


def test_rotations_of_scipy():
    for shape in ((), (3,)):
        R = SE3.rotation(motion(*shape))
        peer = interop.scipy_from_so3(R)
        close(torch.tensor(peer.as_matrix()), R)
        close(interop.so3_from_scipy(peer), R)
    peer = Rotation.from_euler("xyz", [0.1, 0.2, 0.3])
    got = interop.so3_from_scipy(peer, dtype=torch.float32)
    assert got.dtype == torch.float32
    close(got.double(), peer.as_matrix(), atol=1e-7)
    assert len(interop.scipy_from_so3(motion(3, dtype=torch.float32)[:, :3, :3].requires_grad_())) == 3
    with pytest.raises(TypeError, match="rotation must be a scipy Rotation, got ndarray"):
        interop.so3_from_scipy(peer.as_matrix())
    with pytest.raises(ValueError, match=r"R\[1\] is not in SO3"):
        interop.scipy_from_so3(torch.stack((torch.eye(3), 2 * torch.eye(3))))


def test_rigid_transforms_of_scipy():
    pytest.importorskip("scipy", minversion="1.16")
    for shape in ((), (3,)):
        g = motion(*shape)
        peer = interop.scipy_from_se3(g)
        close(torch.tensor(peer.as_matrix()), g)
        close(interop.se3_from_scipy(peer), g)
        point = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
        close(torch.tensor(peer.apply(point.numpy())), SE3.act(g, point))
    with pytest.raises(TypeError, match="transform must be a scipy RigidTransform, got Rotation"):
        interop.se3_from_scipy(Rotation.identity())
    with pytest.raises(ValueError, match="g is not in SE3"):
        interop.scipy_from_se3(2 * torch.eye(4))


def test_old_scipy_is_named(monkeypatch):
    monkeypatch.delattr("scipy.spatial.transform.RigidTransform", raising=False)
    for call in (lambda: interop.se3_from_scipy(None), lambda: interop.scipy_from_se3(torch.eye(4))):
        with pytest.raises(
            ImportError, match=r"RigidTransform came with scipy 1\.16.*pip install 'scipy>=1\.16'"
        ):
            call()


# ROS


def message(**fields):
    """An object with fields, like those that rosidl generates."""
    return SimpleNamespace(**fields)


def vector(*values):
    return message(**dict(zip("xyzw", values)))


def test_poses_and_transforms_of_ros():
    """A quarter turn about z at (1, 2, 3)."""
    half = 0.5**0.5
    pose = message(position=vector(1.0, 2.0, 3.0), orientation=vector(0.0, 0.0, half, half))
    transform = message(translation=vector(1.0, 2.0, 3.0), rotation=vector(0.0, 0.0, half, half))
    expected = [[0.0, -1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 2.0], [0.0, 0.0, 1.0, 3.0], [0.0, 0.0, 0.0, 1.0]]
    written = {"position": vars(pose.position), "orientation": vars(pose.orientation)}
    for one in (
        pose,
        transform,
        message(header=None, pose=pose),
        message(header=None, transform=transform),
        message(header=None, pose=message(pose=pose, covariance=[0.0] * 36)),
        written,
        {"pose": written},
    ):
        close(interop.se3_from_ros(one), expected)
    close(interop.se3_from_ros([pose, transform]), [expected, expected])
    assert interop.se3_from_ros([]).shape == (0, 4, 4)
    assert interop.se3_from_ros(pose, dtype=torch.float32).dtype == torch.float32


def test_messages_are_written_and_read_back():
    g = motion()
    close(interop.se3_from_ros(interop.ros_pose_from_se3(g)), g)
    close(interop.se3_from_ros(interop.ros_transform_from_se3(g)), g)
    assert set(interop.ros_pose_from_se3(g)["orientation"]) == set("xyzw")
    empty = message(position=vector(0.0, 0.0, 0.0), orientation=vector(0.0, 0.0, 0.0, 1.0))
    stamped = message(header="map", pose=empty)
    assert interop.ros_pose_from_se3(g, stamped) is stamped
    close(interop.se3_from_ros(stamped), g)
    assert isinstance(empty.position.x, float)
    filled: dict[str, dict[str, float]] = {"translation": {}, "rotation": {}}
    interop.ros_transform_from_se3(g, filled)
    close(interop.se3_from_ros(filled), g)


def test_twists_of_ros():
    twist = message(linear=vector(1.0, 2.0, 3.0), angular=vector(4.0, 5.0, 6.0))
    pose = message(position=vector(1.0, 0.0, 0.0), orientation=vector(0.0, 0.0, 0.0, 1.0))
    odometry = message(pose=message(pose=pose), twist=message(twist=twist, covariance=[]))
    for one in (twist, odometry):
        close(interop.twist_from_ros(one), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], atol=0)
    xi = torch.arange(6, dtype=torch.float64)
    assert interop.ros_twist_from_twist(xi, odometry) is odometry
    close(interop.twist_from_ros(twist), xi, atol=0)
    close(interop.twist_from_ros(interop.ros_twist_from_twist(xi)), xi, atol=0)


def test_messages_that_cannot_be_read_or_written_are_refused():
    never_filled = message(position=vector(0.0, 0.0, 0.0), orientation=vector(0.0, 0.0, 0.0, 0.0))
    with pytest.raises(
        ValueError, match=r"message must have a finite quaternion .* got \[0.0, 0.0, 0.0, 0.0\]"
    ):
        interop.se3_from_ros(never_filled)
    with pytest.raises(TypeError, match="message must be a Pose or Transform with position or translation"):
        interop.se3_from_ros(message(position=vector(1.0, 2.0), orientation=vector(0.0, 0.0, 0.0, 1.0)))
    with pytest.raises(TypeError, match="message must be a Twist with linear of fields x, y, z, got dict"):
        interop.twist_from_ros({})
    with pytest.raises(TypeError, match="message must be a Transform with fields translation and rotation"):
        interop.ros_transform_from_se3(motion(), never_filled)
    with pytest.raises(ValueError, match=r"one motion per message, got \(2, 4, 4\)"):
        interop.ros_pose_from_se3(motion(2))
    with pytest.raises(ValueError, match=r"one twist per message, got \(2, 6\)"):
        interop.ros_twist_from_twist(torch.zeros(2, 6))


# MuJoCo


@pytest.fixture
def simulation():
    mujoco = pytest.importorskip("mujoco")
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body name='arm'><joint name='hinge' axis='0 1 0'/><geom size='.1'/></body>"
        "<body name='drone' pos='0 0 2'><freejoint name='free'/>"
        "<geom size='.1 .2 .3' type='box' pos='.1 0 .05' euler='10 20 30'/></body></worldbody></mujoco>"
    )
    return mujoco, model, mujoco.MjData(model)


def test_pose_and_twist_of_a_mujoco_body(simulation):
    mujoco, model, data = simulation
    g, twist = motion(), torch.tensor([0.3, -0.2, 0.5, 1.0, -0.7, 0.4], dtype=torch.float64)
    interop.set_mujoco_free_joint(data, "free", g, twist)
    data.joint("hinge").qvel[:] = 3.0
    mujoco.mj_forward(model, data)
    for body in ("drone", data.body("drone").id):
        close(interop.se3_from_mujoco_body(data, body), g)
        close(interop.twist_from_mujoco_body(data, body), twist)
    close(interop.se3_from_mujoco_free_joint(data, "free"), g)
    close(interop.twist_from_mujoco_free_joint(data, "free"), twist)
    close(interop.twist_from_mujoco_body(data, "arm"), [0.0, 0.0, 0.0, 0.0, 3.0, 0.0])
    close(interop.se3_from_mujoco_body(data, "arm"), torch.eye(4))
    before = interop.twist_from_mujoco_free_joint(data, "free")
    interop.set_mujoco_free_joint(data, "free", SE3.identity(dtype=torch.float64))
    assert not torch.equal(
        interop.twist_from_mujoco_free_joint(data, "free"), before
    )  # turned into the new frame


def test_twist_of_a_mujoco_body_is_how_its_pose_changes(simulation):
    mujoco, model, data = simulation
    twist = torch.tensor([0.3, -0.2, 0.5, 1.0, -0.7, 0.4], dtype=torch.float64)
    poses = []
    for direction in (-1.0, 1.0):
        interop.set_mujoco_free_joint(data, "free", motion(), twist)
        mujoco.mj_integratePos(model, data.qpos, direction * data.qvel, 1e-5)
        mujoco.mj_forward(model, data)
        poses.append(interop.se3_from_mujoco_body(data, "drone"))
    close(SE3.minus(poses[1], poses[0]) / 2e-5, twist, atol=1e-9)


def test_joints_that_are_not_free_are_refused(simulation):
    _, _, data = simulation
    with pytest.raises(ValueError, match=r"joint must name a free joint, .*'hinge' has 1"):
        interop.se3_from_mujoco_free_joint(data, "hinge")
    with pytest.raises(ValueError, match=r"g must have shape \(4, 4\), one pose, got \(2, 4, 4\)"):
        interop.set_mujoco_free_joint(data, "free", motion(2))
    with pytest.raises(ValueError, match=r"twist must have shape \(6,\)"):
        interop.set_mujoco_free_joint(data, "free", motion(), torch.zeros(7))


# pypose


def test_a_missing_pypose_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pypose", None)
    for call in (
        lambda: interop.pypose_from_so3(torch.eye(3)),
        lambda: interop.pypose_from_se3(torch.eye(4)),
        lambda: interop.pypose_from_sim3(torch.eye(4)),
    ):
        with pytest.raises(ImportError, match=r"pypose is needed .* pip install pypose"):
            call()
    with pytest.raises(TypeError, match="x must be a pypose LieTensor of ltype SE3_type, got Tensor"):
        interop.se3_from_pypose(torch.zeros(7))


def test_tensors_of_pypose():
    pypose = pytest.importorskip("pypose")
    g = motion(2, 3)
    xi = torch.randn(4, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for peer, ours, there, back in (
        (pypose.so3(xi[:, :3]).Exp(), SO3.exp(xi[:, :3]), interop.pypose_from_so3, interop.so3_from_pypose),
        (pypose.se3(xi[:, :6]).Exp(), SE3.exp(xi[:, :6]), interop.pypose_from_se3, interop.se3_from_pypose),
        (pypose.sim3(xi).Exp(), Sim3.exp(xi), interop.pypose_from_sim3, interop.sim3_from_pypose),
    ):
        close(back(peer), ours, atol=1e-14)
        close(back(there(ours)), ours, atol=1e-14)
        assert there(ours).ltype == peer.ltype
    assert interop.pypose_from_se3(g).lshape == (2, 3)
    with pytest.raises(TypeError, match="x must be a pypose LieTensor of ltype SE3_type, got SO3Type"):
        interop.se3_from_pypose(pypose.randn_SO3(2))
