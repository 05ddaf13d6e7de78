import sys
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.spatial.transform import Rotation

from geomlearn.data import random_rotations, rigid_body_parameters, simulate, spherical_pendulum_xml, windows
from integrators import StateSpace, rigid_body_space, vector
from lie import SE3, SO3

mujoco = pytest.importorskip("mujoco")

BALL = rigid_body_space(SO3)
FREE = rigid_body_space(SE3)
TOP: dict[str, Any] = {"mass": 1.3, "com": (0.05, -0.02, 0.3), "moments": (0.04, 0.05, 0.03)}


def held(data):
    assert data.controls is not None
    return data.controls


def hat(w):
    return np.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]])


def euler(J, mass, com, gravity, state, times, torque=lambda R: 0.0, damping=0.0):
    """Euler's equations of a body with a fixed point, by an eighth-order method; states (T, 12)."""
    inverse = np.linalg.inv(J)

    def field(_, y):
        R, w = y[:9].reshape(3, 3), y[9:]
        moment = np.cross(J @ w, w) + mass * np.cross(com, R.T @ gravity) + torque(R) - damping * w
        return np.concatenate([(R @ hat(w)).ravel(), inverse @ moment])

    return solve_ivp(field, (0, times[-1]), state, "DOP853", times, rtol=1e-13, atol=1e-13).y.T


def ball_state(seed=0, spin=1.0):
    generator = torch.Generator().manual_seed(seed)
    R = random_rotations(1, generator)[0]
    return BALL.pack(R=R, omega=spin * torch.randn(3, generator=generator, dtype=torch.float64))


def about_pivot(mass, com, moments):
    com = np.asarray(com)
    return np.diag(moments) + mass * (com @ com * np.eye(3) - np.outer(com, com))


def test_torque_free_tumbling_keeps_momentum_and_follows_eulers_equations():
    J = np.diag([1.0, 2.0, 2.8])
    xml = spherical_pendulum_xml(2.0, (0, 0, 0), (1.0, 2.0, 2.8), gravity=(0, 0, 0))
    start = BALL.pack(
        R=random_rotations(1, torch.Generator().manual_seed(3))[0], omega=torch.tensor([0.5, 1.0, 0.2])
    )
    recording = simulate(xml, start, steps=100, h=1.0)[0]
    R, omega = (block.numpy() for block in BALL.view(recording.states).values())
    momentum = np.einsum("tij,tj->ti", R, omega @ J)
    assert np.abs(momentum - momentum[0]).max() <= 1e-12
    exact = euler(J, 0, np.zeros(3), np.zeros(3), start.numpy(), recording.times.numpy())
    np.testing.assert_allclose(recording.states.numpy(), exact, rtol=0, atol=1e-10)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_heavy_top_follows_eulers_equations(seed):
    gravity = np.array([0.3, -0.5, -9.7])
    start = ball_state(seed, spin=4.0)
    recording = simulate(spherical_pendulum_xml(**TOP, gravity=gravity.tolist()), start, steps=20, h=0.05)[0]
    J = about_pivot(**TOP)
    exact = euler(J, TOP["mass"], TOP["com"], gravity, start.numpy(), recording.times.numpy())
    np.testing.assert_allclose(recording.states.numpy(), exact, rtol=0, atol=1e-9)


def test_damping_is_linear_in_the_angular_velocity():
    start = ball_state(2, spin=3.0)
    recording = simulate(spherical_pendulum_xml(**TOP, damping=0.2), start, steps=20, h=0.05)[0]
    gravity = np.array([0, 0, -9.81])
    times = recording.times.numpy()
    exact = euler(about_pivot(**TOP), TOP["mass"], TOP["com"], gravity, start.numpy(), times, damping=0.2)
    np.testing.assert_allclose(recording.states.numpy(), exact, rtol=0, atol=1e-9)


def test_motors_on_a_ball_joint_push_in_the_body_frame():
    torque = np.array([0.3, -0.2, 0.5])
    start = ball_state(4)
    recording = simulate(
        spherical_pendulum_xml(**TOP, gravity=(0, 0, 0)), start, 20, 0.05, controls=torch.from_numpy(torque)
    )[0]
    assert recording.control_space == StateSpace(*(vector(f"torque_{axis}", 1) for axis in "xyz"))
    assert torch.equal(held(recording), torch.from_numpy(torque).expand(20, 3))
    J, times = about_pivot(**TOP), recording.times.numpy()
    exact = euler(J, 0, np.zeros(3), np.zeros(3), start.numpy(), times, torque=lambda _: torque)
    np.testing.assert_allclose(recording.states.numpy(), exact, rtol=0, atol=1e-8)
    wrong = euler(J, 0, np.zeros(3), np.zeros(3), start.numpy(), times, torque=lambda R: R.T @ torque)
    assert np.abs(recording.states.numpy() - wrong).max() > 0.1


def test_motors_in_the_parent_push_in_the_world_frame():
    torque = np.array([0.3, -0.2, 0.5])
    xml = spherical_pendulum_xml(**TOP, gravity=(0, 0, 0)).replace('joint="pivot"', 'jointinparent="pivot"')
    start = ball_state(4)
    recording = simulate(xml, start, 20, 0.05, controls=torch.from_numpy(torque))[0]
    exact = euler(
        about_pivot(**TOP),
        0,
        np.zeros(3),
        np.zeros(3),
        start.numpy(),
        recording.times.numpy(),
        lambda R: R.T @ torque,
    )
    np.testing.assert_allclose(recording.states.numpy(), exact, rtol=0, atol=1e-9)


def test_controls_are_held_between_samples():
    generator = torch.Generator().manual_seed(0)
    u = 0.3 * torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    starts = torch.stack([ball_state(0), ball_state(1)])
    recordings = simulate(spherical_pendulum_xml(**TOP), starts, 6, 0.05, u)
    for recording, start, own in zip(recordings, starts, u, strict=True):
        assert torch.equal(held(recording), own)
        state = start.numpy()
        for k in range(6):
            moment = own[k].numpy()
            args = about_pivot(**TOP), TOP["mass"], TOP["com"], np.array([0, 0, -9.81])
            state = euler(*args, state, [0.0, 0.05], torque=lambda _, moment=moment: moment)[-1]
            np.testing.assert_allclose(recording.states[k + 1].numpy(), state, rtol=0, atol=1e-9)
    same = simulate(spherical_pendulum_xml(**TOP), starts, 6, 0.05, u[0])
    assert torch.equal(same[0].states, recordings[0].states)
    assert torch.equal(held(same[1]), u[0])


FREE_XML = """<mujoco><option timestep="0.001" gravity="0.2 -0.1 -9.81"/><worldbody>
  <body name="rock" pos="1 2 3" euler="10 20 30"><freejoint/>
    <inertial pos="0.1 -0.2 0.3" euler="20 40 60" mass="2" diaginertia="0.3 0.5 0.6"/></body>
  <body name="vane" pos="5 0 0"><joint name="hinge" type="hinge" axis="0 0 1"/><geom size="0.1"/></body>
</worldbody></mujoco>"""


def test_a_free_body_is_thrown_on_a_parabola_and_tumbles_about_its_centre_of_mass():
    generator = torch.Generator().manual_seed(5)

    def draw():
        return torch.randn(3, generator=generator, dtype=torch.float64)

    start = FREE.pack(x=draw(), R=random_rotations(1, generator)[0], v=draw(), omega=3 * draw())
    recording = simulate(FREE_XML, start, steps=20, h=0.05, substeps=100)[0]
    torch.testing.assert_close(recording.states[0], start, rtol=0, atol=1e-14)
    t = recording.times.numpy()[:, None]
    x, R, v, omega = (block.numpy() for block in FREE.view(recording.states).values())
    gravity = np.array([0.2, -0.1, -9.81])
    np.testing.assert_allclose(x, x[0] + v[0] * t + gravity * t**2 / 2, rtol=0, atol=1e-9)
    np.testing.assert_allclose(v, v[0] + gravity * t, rtol=0, atol=1e-9)
    axes = Rotation.from_euler("XYZ", [20, 40, 60], degrees=True).as_matrix()
    J = axes @ np.diag([0.3, 0.5, 0.6]) @ axes.T
    turning = np.concatenate([R[0].ravel(), omega[0]])
    exact = euler(J, 0, np.zeros(3), np.zeros(3), turning, t[:, 0])
    np.testing.assert_allclose(np.concatenate([R.reshape(-1, 9), omega], -1), exact, rtol=0, atol=1e-8)


def test_velocities_are_the_slopes_of_the_poses_that_mujoco_shows():
    """Positions and axes straight from MuJoCo, differentiated in time, against the recorded velocities."""
    model = mujoco.MjModel.from_xml_string(FREE_XML)
    data = mujoco.MjData(model)
    model.opt.timestep = 1e-4
    model.opt.integrator = mujoco.mjtIntegrator.mjINT_RK4
    data.qpos[:7] = [0.1, 0.2, 0.3, 0.5, 0.5, -0.5, 0.5]
    data.qvel[:6] = [1.0, -2.0, 0.5, 2.0, -1.0, 3.0]
    mujoco.mj_forward(model, data)
    body = model.body("rock").id
    xs, Rs = [], []
    for _ in range(5):
        xs.append(data.xipos[body].copy())
        Rs.append(data.xmat[body].reshape(3, 3).copy())
        mujoco.mj_step(model, data)
        mujoco.mj_forward(model, data)
    weights = np.array([1, -8, 0, 8, -1]) / 12e-4
    v = np.tensordot(weights, xs, 1)
    omega_hat = Rs[2].T @ np.tensordot(weights, Rs, 1)
    omega = np.array([omega_hat[2, 1], omega_hat[0, 2], omega_hat[1, 0]])
    from geomlearn.data._mujoco import from_mujoco
    from geomlearn.data._mujoco_model import find_body

    again = mujoco.MjData(model)
    again.qpos[:7] = [0.1, 0.2, 0.3, 0.5, 0.5, -0.5, 0.5]
    again.qvel[:6] = [1.0, -2.0, 0.5, 2.0, -1.0, 3.0]
    mujoco.mj_step(model, again, nstep=2)
    where = find_body(model, "rock")
    state = from_mujoco(model, where, torch.tensor(again.qpos[:7]), torch.tensor(again.qvel[:6]))
    parts = {name: block.numpy() for name, block in FREE.view(state).items()}
    np.testing.assert_allclose(parts["x"], xs[2], rtol=0, atol=1e-12)
    np.testing.assert_allclose(parts["R"], Rs[2], rtol=0, atol=1e-12)
    np.testing.assert_allclose(parts["v"], v, rtol=0, atol=1e-9)
    np.testing.assert_allclose(parts["omega"], omega, rtol=0, atol=1e-9)


TILTED_XML = """<mujoco><compiler angle="degree"/><option timestep="0.001" gravity="0 0 -9.81"/><worldbody>
  <body name="mount" pos="1 1 1" euler="0 50 10">
    <body name="top" pos="0 0 0.2" euler="30 -20 70">
      <joint name="ball" type="ball" pos="0.02 0.01 -0.03" armature="0.004"/>
      <inertial pos="0.05 0.1 0.2" euler="15 25 35" mass="1.2" diaginertia="0.02 0.03 0.04"/>
      <body name="tip" pos="0.1 0 0.3" euler="40 0 0">
        <inertial pos="0.01 0.02 0.03" euler="0 60 0" mass="0.4" diaginertia="0.001 0.002 0.0025"/></body>
    </body></body></worldbody></mujoco>"""


def matrix(*degrees):
    return Rotation.from_euler("XYZ", degrees, degrees=True).as_matrix()


def test_parameters_of_a_tilted_body_with_a_welded_tip():
    found = rigid_body_parameters(TILTED_XML)
    tip_axes = matrix(40, 0, 0)
    pieces = [
        (1.2, np.array([0.05, 0.1, 0.2]), matrix(15, 25, 35), [0.02, 0.03, 0.04]),
        (
            0.4,
            [0.1, 0, 0.3] + tip_axes @ [0.01, 0.02, 0.03],
            tip_axes @ matrix(0, 60, 0),
            [0.001, 0.002, 0.0025],
        ),
    ]
    pivot = np.array([0.02, 0.01, -0.03])
    inertia = 0.004 * np.eye(3)
    for mass, centre, axes, moments in pieces:
        arm = centre - pivot
        inertia += axes @ np.diag(moments) @ axes.T - mass * hat(arm) @ hat(arm)
    com = sum(mass * centre for mass, centre, *_ in pieces) / 1.6 - pivot
    assert found.mass == pytest.approx(1.6, abs=1e-14)
    np.testing.assert_allclose(found.com.numpy(), com, rtol=0, atol=1e-14)
    np.testing.assert_allclose(found.inertia.numpy(), inertia, rtol=0, atol=1e-14)
    assert found.gravity.tolist() == [0, 0, -9.81]
    assert found.damping == 0


def test_parameters_and_simulation_of_a_tilted_body_agree():
    found = rigid_body_parameters(TILTED_XML, "top")
    start = ball_state(6, spin=2.0)
    recording = simulate(TILTED_XML, start, 20, 0.02, body="top")[0]
    exact = euler(
        found.inertia.numpy(), found.mass, found.com.numpy(), found.gravity.numpy(), start.numpy(),
        recording.times.numpy(),
    )  # fmt: skip
    np.testing.assert_allclose(recording.states.numpy(), exact, rtol=0, atol=1e-8)


def test_parameters_of_a_free_body_are_about_its_centre_of_mass():
    found = rigid_body_parameters(FREE_XML, "rock")
    axes = matrix(20, 40, 60)
    np.testing.assert_allclose(
        found.inertia.numpy(), axes @ np.diag([0.3, 0.5, 0.6]) @ axes.T, rtol=0, atol=1e-14
    )
    np.testing.assert_allclose(found.com.numpy(), [0.1, -0.2, 0.3], rtol=0, atol=1e-14)
    assert found.mass == 2
    assert found.gravity.tolist() == [0.2, -0.1, -9.81]
    still = FREE_XML.replace("<worldbody>", '<option><flag gravity="disable"/></option><worldbody>', 1)
    assert rigid_body_parameters(still, "rock").gravity.tolist() == [0, 0, 0]


def test_parameters_of_the_ready_pendulum():
    found = rigid_body_parameters(spherical_pendulum_xml(**TOP, damping=0.1))
    np.testing.assert_allclose(found.inertia.numpy(), about_pivot(**TOP), rtol=0, atol=1e-14)
    assert found.mass == TOP["mass"]
    assert tuple(found.com.tolist()) == TOP["com"]
    assert found.damping == 0.1


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('type="ball"', 'type="ball" stiffness="1"', "joint stiffness"),
        ('type="ball"', 'type="ball" frictionloss="1"', "frictionloss"),
        ('name="pendulum"', 'name="pendulum" gravcomp="1"', "gravcomp"),
        ('integrator="RK4"', 'integrator="RK4" viscosity="1"', "the density or viscosity of a medium"),
    ],
)
def test_parameters_that_do_not_tell_the_whole_are_refused(old, new, what):
    xml = spherical_pendulum_xml().replace(old, new)
    assert xml != spherical_pendulum_xml()
    with pytest.raises(ValueError, match=f"body: 'pendulum' is subject to {what}"):
        rigid_body_parameters(xml)


def test_parameters_of_a_free_joint_with_armature_or_damping_are_refused():
    for what in ("armature", "damping"):
        xml = FREE_XML.replace("<freejoint/>", f'<joint type="free" {what}="0.1"/>')
        with pytest.raises(ValueError, match=f"body: 'rock' is subject to {what} of a free joint"):
            rigid_body_parameters(xml)


def test_a_body_with_moving_parts_is_not_rigid():
    xml = TILTED_XML.replace('euler="40 0 0">', 'euler="40 0 0"><joint type="hinge"/>')
    with pytest.raises(ValueError, match=r"body: 'top' is not one rigid body, \['tip'\] move on it"):
        rigid_body_parameters(xml)


def test_a_body_on_a_moving_parent_is_refused():
    xml = TILTED_XML.replace('euler="0 50 10">', 'euler="0 50 10"><joint type="slide"/><geom size="0.1"/>')
    with pytest.raises(ValueError, match="body: 'top' is also moved by other joints"):
        simulate(xml, ball_state(), 2, 0.01)


def test_models_come_as_text_path_binary_or_object_and_stay_unchanged(tmp_path):
    xml = spherical_pendulum_xml(**TOP)
    (tmp_path / "top.xml").write_text(xml)
    model = mujoco.MjModel.from_xml_string(xml.replace("RK4", "Euler"))
    mujoco.mj_saveModel(mujoco.MjModel.from_xml_string(xml), str(tmp_path / "top.mjb"), None)
    first, *others = [
        simulate(m, ball_state(), 5, 0.01, substeps=20)[0].states
        for m in (xml, tmp_path / "top.xml", str(tmp_path / "top.xml"), tmp_path / "top.mjb", model)
    ]
    for states in others:
        assert torch.equal(states, first)
    assert model.opt.timestep == 1e-3
    assert model.opt.integrator == mujoco.mjtIntegrator.mjINT_EULER
    with pytest.raises(FileNotFoundError, match=r"model: there is no file nowhere.xml"):
        simulate("nowhere.xml", ball_state(), 5, 0.01)
    with pytest.raises(TypeError, match=r"model: expected an mujoco.MjModel, XML text or a path, got int"):
        simulate(3, ball_state(), 5, 0.01)


def test_the_first_sample_is_the_initial_state():
    starts = torch.stack([ball_state(k) for k in range(3)])
    recordings = simulate(spherical_pendulum_xml(), starts, 3, 0.01)
    for recording, start in zip(recordings, starts, strict=True):
        torch.testing.assert_close(recording.states[0], start, rtol=0, atol=1e-15)
    assert windows(recordings, 2).states.shape == (9, 2, 12)
    assert recordings[1].times.tolist() == pytest.approx([0, 0.01, 0.02, 0.03], abs=1e-17)


def test_bodies_are_chosen_by_name():
    two = spherical_pendulum_xml().replace(
        "</worldbody>", '<body name="ball" pos="9 0 0"><freejoint/><geom size="0.1"/></body></worldbody>'
    )
    with pytest.raises(ValueError, match=r"body: expected a name, .*\['ball', 'pendulum'\]"):
        simulate(two, ball_state(), 2, 0.01)
    with pytest.raises(ValueError, match=r"out of \['ball', 'pendulum'\], got 'world'"):
        simulate(two, ball_state(), 2, 0.01, body="world")
    alone = simulate(spherical_pendulum_xml(), ball_state(), 4, 0.01)[0].states
    assert torch.equal(simulate(two, ball_state(), 4, 0.01, body="pendulum")[0].states, alone)
    with pytest.raises(ValueError, match=r"initial: expected shape \(\.\.\., 18\)"):
        simulate(two, ball_state(), 2, 0.01, body="ball")
    with pytest.raises(ValueError, match="body: expected a name"):
        rigid_body_parameters("<mujoco><worldbody/></mujoco>")


def test_the_step_has_to_fit_the_model():
    xml = spherical_pendulum_xml(timestep=0.004)
    with pytest.raises(
        ValueError, match=r"h: expected a multiple of the time step of the model, 0.004 s, got 0.01 s"
    ):
        simulate(xml, ball_state(), 2, 0.01)
    with pytest.raises(ValueError, match="h: expected a multiple"):
        simulate(xml, ball_state(), 2, 0.001)
    assert len(simulate(xml, ball_state(), 2, 0.01, substeps=3)) == 1
    with pytest.raises(ValueError, match="substeps: expected at least 1"):
        simulate(xml, ball_state(), 2, 0.01, substeps=0)
    with pytest.raises(ValueError, match="h: expected a positive number"):
        simulate(xml, ball_state(), 2, 0.0)


def test_wrong_states_and_controls_are_refused():
    xml = spherical_pendulum_xml()
    with pytest.raises(TypeError, match="initial: expected float64"):
        simulate(xml, ball_state().float(), 2, 0.01)
    with pytest.raises(TypeError, match="initial: expected a float32 or float64 tensor"):
        simulate(xml, [0.0] * 12, 2, 0.01)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"initial\.R"):
        simulate(xml, torch.zeros(12, dtype=torch.float64), 2, 0.01)
    with pytest.raises(ValueError, match="steps >= 1"):
        simulate(xml, ball_state(), 0, 0.01)
    controls: Any
    for controls in (torch.zeros(2), torch.zeros(3, 3), torch.zeros(2, 2, 3), [0.0, 0.0, 0.0]):
        with pytest.raises(
            ValueError, match=r"controls: expected a tensor of shape \(3,\), \(2, 3\), \(1, 2, 3\)"
        ):
            simulate(xml, ball_state(), 2, 0.01, controls)
    for value in (float("nan"), float("-inf"), 1e11):
        with pytest.raises(ValueError, match=r"controls: expected finite numbers of size 1e\+10 at most"):
            simulate(xml, ball_state(), 2, 0.01, torch.tensor([0.0, value, 0.0]))
    limited = xml.replace('name="torque_y"', 'name="torque_y" ctrlrange="-0.5 0.5" ctrllimited="true"')
    u = torch.zeros(2, 3, dtype=torch.float64)
    u[1, 1] = 0.75
    with pytest.raises(
        ValueError, match=r"controls: 0.75 of actuator 1 in trajectory 0, step 1 is outside its range"
    ):
        simulate(limited, ball_state(), 2, 0.01, u)
    named = StateSpace(vector("torque", 3, unit="N m", frame="body"))
    assert simulate(xml, ball_state(), 2, 0.01, u, control_space=named)[0].control_space == named


def test_a_simulation_that_runs_away_is_reported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    u = torch.zeros(2, 3, 3, dtype=torch.float64)
    u[1, 1] = 1e9
    with pytest.raises(ValueError, match="simulate: trajectory 1 diverges between samples 1 and 2"):
        simulate(spherical_pendulum_xml(), torch.stack([ball_state(), ball_state()]), 3, 0.01, u)


@pytest.mark.parametrize(("mass", "moments"), [(0.0, (1, 1, 1)), (1.0, (1, 1, 3)), (1.0, (0, 1, 1))])
def test_impossible_bodies_are_refused(mass, moments):
    with pytest.raises(ValueError, match="mass, moments: expected"):
        spherical_pendulum_xml(mass, (0, 0, 1), moments)


def test_says_how_to_install_mujoco(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(ImportError, match=r"pip install geomlearn\[robotics\]"):
        simulate(spherical_pendulum_xml(), ball_state(), 2, 0.01)
