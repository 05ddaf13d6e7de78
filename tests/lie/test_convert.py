"""Converters against scipy, MuJoCo and, where installed, pypose and jaxlie."""

from __future__ import annotations

import pytest
import torch
from scipy.spatial.transform import Rotation

from lie import SE2, SE3, SO3, Sim3, convert

EPS = 2.0**-52


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def close(got, expected, atol=8 * EPS):
    torch.testing.assert_close(got, torch.as_tensor(expected, dtype=torch.float64), rtol=0, atol=atol)


# Rotations


def test_rotation_vectors_and_quaternions_agree_with_scipy():
    rotvec = random(50, 3)
    peer = Rotation.from_rotvec(rotvec.numpy())
    close(convert.quat_xyzw_from_rotvec(rotvec).abs(), abs(peer.as_quat()))
    close(convert.rotvec_from_quat_xyzw(torch.tensor(peer.as_quat())), peer.as_rotvec())
    close(convert.rotvec_from_quat_xyzw(-7 * torch.tensor(peer.as_quat())), peer.as_rotvec())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e-4, 1.0, 3.0, 40.0])
def test_axis_and_angle_of_rotation_vectors_of_every_length(size, dtype):
    eps = torch.finfo(dtype).eps
    axis = torch.nn.functional.normalize(random(20, 3), dim=-1)
    angle = torch.linspace(0.5, 1.0, 20, dtype=torch.float64) * size
    rotvec = convert.rotvec_from_axis_angle((3e-25 * axis).to(dtype), angle.to(dtype))
    torch.testing.assert_close(rotvec, (angle[:, None] * axis).to(dtype), rtol=8 * eps, atol=eps * size)
    got_axis, got_angle = convert.axis_angle_from_rotvec(rotvec)
    torch.testing.assert_close(got_axis, axis.to(dtype), rtol=0, atol=8 * eps)
    torch.testing.assert_close(got_angle, angle.to(dtype), rtol=8 * eps, atol=0)


def test_axis_and_angle_at_zero():
    zero = torch.zeros(3, dtype=torch.float64)
    axis, angle = convert.axis_angle_from_rotvec(zero)
    close(axis, [1.0, 0.0, 0.0], atol=0)
    assert float(angle) == 0
    jacobian = torch.func.jacrev(
        lambda v: torch.cat([part.reshape(-1) for part in convert.axis_angle_from_rotvec(v)])
    )
    close(jacobian(zero), torch.zeros(4, 3), atol=0)
    assert bool(convert.rotvec_from_axis_angle(zero, torch.tensor(1.0)).isnan().all())


def test_axis_and_angle_differentiate_and_ignore_the_length_of_the_axis():
    rotvec = random(4, 3).requires_grad_()
    assert torch.autograd.gradcheck(convert.axis_angle_from_rotvec, (rotvec,), check_forward_ad=True)
    axis, angle = random(4, 3, seed=1).requires_grad_(), random(4, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(convert.rotvec_from_axis_angle, (axis, angle), check_forward_ad=True)
    slope = torch.func.jvp(lambda a: convert.rotvec_from_axis_angle(a, angle), (axis,), (axis,))[1]
    close(slope.detach(), torch.zeros(4, 3))


# Poses


def test_orders_of_poses():
    g = SE3.random(5, generator=generator(), dtype=torch.float64)
    t, q = SE3.translation(g), SO3.to_quaternion(SE3.rotation(g))
    x, y, z, w = q.unbind(-1)
    close(convert.trans_quat_xyzw_from_se3(g), torch.cat((t, q), -1), atol=0)
    close(convert.trans_quat_wxyz_from_se3(g), torch.cat((t, torch.stack((w, x, y, z), -1)), -1), atol=0)
    close(convert.quat_wxyz_trans_from_se3(g), torch.cat((torch.stack((w, x, y, z), -1), t), -1), atol=0)
    close(convert.se3_from_trans_quat_xyzw(convert.trans_quat_xyzw_from_se3(g)), g)
    close(convert.se3_from_trans_quat_wxyz(convert.trans_quat_wxyz_from_se3(g)), g)
    close(convert.se3_from_quat_wxyz_trans(convert.quat_wxyz_trans_from_se3(g)), g)


def test_poses_with_a_scale_and_poses_of_the_plane():
    g = Sim3.random(5, generator=generator(), dtype=torch.float64)
    pose = convert.trans_quat_xyzw_scale_from_sim3(g)
    close(pose[:, 7], Sim3.scale(g), atol=0)
    close(convert.sim3_from_trans_quat_xyzw_scale(pose), g, atol=32 * EPS)
    planar = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, -0.2]], dtype=torch.float64)
    h = convert.se2_from_trans_angle(planar)
    close(SE2.act(h, torch.zeros(2, dtype=torch.float64)), planar[:, :2], atol=0)
    ahead = SE2.act(h, torch.tensor([1.0, 0.0], dtype=torch.float64)) - planar[:, :2]
    close(ahead, torch.stack((planar[:, 2].cos(), planar[:, 2].sin()), -1))
    close(convert.trans_angle_from_se2(h), planar)


def test_matrices_that_act_on_rows():
    g = SE3.random(5, generator=generator(), dtype=torch.float64)
    points = random(5, 3, seed=1)
    row = convert.row_matrix_from_column_matrix(g)
    homogeneous = torch.cat((points, torch.ones(5, 1, dtype=torch.float64)), -1)
    close((homogeneous[:, None] @ row)[:, 0, :3], SE3.act(g, points))
    close(row[:, 3, :3], SE3.translation(g), atol=0)
    close(convert.column_matrix_from_row_matrix(row), g, atol=0)
    with pytest.raises(ValueError, match=r"M must be matrices of shape \(\.\.\., n, n\), got \(3, 4\)"):
        convert.column_matrix_from_row_matrix(torch.zeros(3, 4))


# Tangents


def test_orders_of_tangents():
    rho, nu, phi = torch.arange(9.0).split(3)
    ours = torch.cat((rho, nu, phi))
    for there, back, theirs in (
        (
            convert.tangent_rot_pos_vel_from_pos_vel_rot,
            convert.tangent_pos_vel_rot_from_rot_pos_vel,
            (phi, rho, nu),
        ),
        (
            convert.tangent_rot_vel_pos_from_pos_vel_rot,
            convert.tangent_pos_vel_rot_from_rot_vel_pos,
            (phi, nu, rho),
        ),
    ):
        assert torch.equal(there(ours), torch.cat(theirs))
        assert torch.equal(back(there(ours)), ours)
    scaled = convert.tangent_trans_rot_scale_from_rot_scale(random(2, 4))
    g = Sim3.exp(scaled)
    close(Sim3.translation(g), torch.zeros(2, 3), atol=0)
    close(Sim3.scale(g).log(), random(2, 4)[:, 3])
    close(SO3.log(Sim3.rotation(g)), random(2, 4)[:, :3])


def test_velocities_along_the_axes_of_the_world_are_those_of_the_curve():
    g, twist = SE3.random(4, generator=generator(), dtype=torch.float64), random(4, 6, seed=1)
    moved = lambda s: SE3.plus(g, s * twist)  # noqa: E731
    start = torch.zeros((), dtype=torch.float64)
    slope = torch.func.jvp(moved, (start,), (torch.ones_like(start),))[1]
    spin = SO3.vee(slope[:, :3, :3] @ SE3.rotation(g).mT)
    velocity = convert.world_axes_from_twist_body(g, twist)
    close(velocity, torch.cat((slope[:, :3, 3], spin), -1))
    close(convert.twist_body_from_world_axes(g, velocity), twist)


def test_free_joints_move_as_mujoco_moves_them():
    mujoco = pytest.importorskip("mujoco")
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><freejoint/><geom size='.1'/></body></worldbody></mujoco>"
    )
    g, twist, h = SE3.random(20, generator=generator(), dtype=torch.float64), random(20, 6, seed=1), 1e-3
    qpos, qvel = convert.trans_quat_wxyz_from_se3(g), convert.mujoco_qvel_from_twist_body(g, twist)
    moved = qpos.clone()
    for position, velocity in zip(moved.numpy(), qvel.numpy()):
        mujoco.mj_integratePos(model, position, velocity, h)
    after = convert.se3_from_trans_quat_wxyz(moved)
    close(convert.twist_body_from_mujoco_qvel(g, qvel), twist)
    # MuJoCo turns by exp(h omega) in the body and moves by h v in the world
    close(SE3.rotation(after), SE3.rotation(g) @ SO3.exp(h * twist[:, 3:]))
    close(SE3.translation(after), SE3.translation(g) + h * SO3.act(SE3.rotation(g), twist[:, :3]))
    screw = SE3.plus(g, h * twist)
    error = (after - screw).abs().amax((-2, -1))
    assert bool((error <= h**2 * twist.square().sum(-1)).all())
    assert float(error.max()) < 1e-4 < h * float(twist.abs().max())


def test_wrong_sizes_are_refused_by_name():
    for call, message in (
        (lambda: convert.se3_from_trans_quat_xyzw(torch.zeros(6)), r"pose must have shape \(\.\.\., 7\)"),
        (
            lambda: convert.sim3_from_trans_quat_xyzw_scale(torch.zeros(7)),
            r"pose must have shape \(\.\.\., 8\)",
        ),
        (lambda: convert.twist_body_from_mujoco_qvel(torch.eye(4), torch.zeros(7)), r"qvel must have shape"),
        (lambda: convert.twist_body_from_mujoco_qvel(torch.eye(3), torch.zeros(6)), r"g must be SE3"),
        (lambda: convert.quat_xyzw_from_rotvec(torch.zeros(4)), r"rotvec must have shape"),
        (lambda: convert.matrix_from_euler(torch.zeros(4), "xyz"), r"angles must have shape"),
        (lambda: convert.tangent_pos_vel_rot_from_rot_vel_pos(torch.zeros(6)), r"xi_rot_vel_pos must have"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="angle must be float32 or float64"):
        convert.rotvec_from_axis_angle(torch.ones(3), torch.tensor(1))


def test_every_converter_broadcasts_differentiates_and_compiles():
    g = SE3.random(2, 3, generator=generator(), dtype=torch.float64)
    for function, x in (
        (convert.trans_quat_wxyz_from_se3, g),
        (convert.se3_from_quat_wxyz_trans, random(2, 3, 7)),
        (convert.sim3_from_trans_quat_xyzw_scale, random(2, 3, 8)),
        (convert.trans_angle_from_se2, SE2.exp(random(2, 3, 3))),
        (lambda v: convert.twist_body_from_mujoco_qvel(g, v), random(6)),
        (lambda v: convert.world_axes_from_twist_body(g, v), random(6)),
        (convert.tangent_pos_vel_rot_from_rot_vel_pos, random(2, 3, 9)),
    ):
        value = function(x)
        assert value.shape[:2] == (2, 3)
        x = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(function(x).sin().sum(), x)
        direction = random(*x.shape, seed=5)
        slope = torch.func.jvp(lambda y, f=function: f(y).sin().sum(), (x.detach(),), (direction,))[1]
        close(slope, (gradient * direction).sum(), atol=1e-12)
    torch._dynamo.reset()
    there_and_back = lambda h: convert.se3_from_trans_quat_wxyz(convert.trans_quat_wxyz_from_se3(h))  # noqa: E731
    close(torch.compile(there_and_back, fullgraph=True, backend="aot_eager")(g), g)


def test_orders_are_those_of_pypose():
    pypose = pytest.importorskip("pypose")
    xi = random(5, 7)
    close(
        convert.se3_from_trans_quat_xyzw(pypose.se3(xi[:, :6]).Exp().tensor()), SE3.exp(xi[:, :6]), atol=1e-14
    )
    close(convert.sim3_from_trans_quat_xyzw_scale(pypose.sim3(xi).Exp().tensor()), Sim3.exp(xi), atol=1e-14)
    scaled = pypose.rxso3(xi[:, :4]).Exp().matrix()
    close(
        scaled[:, :3, :3],
        Sim3.exp(convert.tangent_trans_rot_scale_from_rot_scale(xi[:, :4]))[:, :3, :3],
        atol=1e-14,
    )


def test_orders_are_those_of_jaxlie():
    jaxlie = pytest.importorskip("jaxlie")
    xi = random(6)
    pose = torch.tensor(jaxlie.SE3.exp(xi.numpy()).wxyz_xyz.tolist(), dtype=torch.float64)
    close(convert.se3_from_quat_wxyz_trans(pose), SE3.exp(xi), atol=1e-5)  # single precision there
    planar = jaxlie.SE2.exp(xi[:3].numpy())
    close(torch.tensor(planar.as_matrix().tolist(), dtype=torch.float64), SE2.exp(xi[:3]), atol=1e-5)
