"""The serving policy: draws by inversion, exact bits, the digest of weights, what may be swapped in."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ztb.errors import ConfigError, InvariantError
from ztb.trading.policy.categorical import sample, sample_batch
from ztb.trading.policy.layers import forward, run_program
from ztb.trading.policy.serving import ServingPolicy, compile_program
from ztb.trading.policy.weights import (
    NetworkShape,
    flatten,
    initial_weights,
    parameter_shapes,
    unflatten,
    weights_sha256,
)

SHAPES = [
    NetworkShape(7, (5,), (64, 64)),
    NetworkShape(3, (5, 3), (16,), shared_trunk=False),
    NetworkShape(10, (2, 2, 4), (32, 16, 8)),
]


def observation(shape: NetworkShape, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape.observation_size).astype(np.float32)


def reference(shape: NetworkShape, weights: dict[str, np.ndarray], seen: np.ndarray) -> np.ndarray:
    """The outputs in float64, by matrix products and libm's tanh."""
    outputs = []
    for tower, sizes in shape.towers():
        x = seen.astype(np.float64)
        for layer in range(len(sizes) - 1):
            x = x @ weights[f"{tower}.{layer}.weight"] + weights[f"{tower}.{layer}.bias"]
            x = np.tanh(x) if layer < len(sizes) - 2 else x
        outputs.append(x)
    return np.concatenate(outputs)


def moved(shape: NetworkShape, seed: int) -> dict[str, np.ndarray]:
    """Weights as after some training: every parameter far from where it started."""
    generator = np.random.default_rng(seed)
    return {
        name: (0.5 * generator.standard_normal(size)).astype(np.float32)
        for name, size in parameter_shapes(shape).items()
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_are_those_of_matrix_products(shape: NetworkShape) -> None:
    weights = moved(shape, 3)
    program = compile_program(shape)
    for seed in range(20):
        seen = observation(shape, seed) * 10 ** (seed % 4 - 1)
        program.scratch[: shape.observation_size] = seen
        run_program(flatten(shape, weights), program.layers, program.scratch)
        found = program.scratch[-shape.policy_outputs - 1 :]
        np.testing.assert_allclose(found, reference(shape, weights, seen), rtol=2e-5, atol=1e-5)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=6),
    st.floats(0, 1, exclude_max=True),
)
def test_a_draw_inverts_the_cumulative_distribution(logits: list[float], uniform: float) -> None:
    row = np.array(logits, np.float32)
    actions = np.zeros(1, np.int64)
    logprob = sample(row, np.array([row.size]), np.array([uniform]), 0, actions)
    probabilities = np.exp(row.astype(float) - np.logaddexp.reduce(row.astype(float)))
    edges = np.concatenate(([0.0], np.cumsum(probabilities)))
    chosen = int(actions[0])
    assert edges[chosen] - 1e-9 <= uniform <= edges[chosen + 1] + 1e-9
    assert logprob == pytest.approx(np.log(probabilities[chosen]), abs=1e-9)


def test_draws_of_two_heads_are_independent_and_their_log_probs_add() -> None:
    shape = SHAPES[1]
    policy = ServingPolicy(shape, moved(shape, 1))
    seen = observation(shape)
    size, timing = policy.probabilities(seen)
    uniforms = np.random.default_rng(0).random((20_000, 2))
    counts = np.zeros((5, 3))
    for row in uniforms:
        choice = policy.decide(seen, row)
        counts[choice.actions] += 1
        a, b = choice.actions
        assert choice.logprob == pytest.approx(np.log(size[a]) + np.log(timing[b]), abs=1e-9)
    np.testing.assert_allclose(counts / 20_000, np.outer(size, timing), atol=0.012)


def test_deterministic_takes_the_most_probable_whatever_the_uniforms() -> None:
    shape = SHAPES[2]
    policy = ServingPolicy(shape, moved(shape, 5))
    for seed in range(20):
        seen = observation(shape, seed)
        best = tuple(int(p.argmax()) for p in policy.probabilities(seen))
        assert policy.decide(seen, np.full(3, 0.999), deterministic=True).actions == best


def test_a_batch_decides_as_one_at_a_time_bit_for_bit() -> None:
    rows = 150  # two blocks and a rest
    for shape in SHAPES:
        weights = moved(shape, 2)
        policy, program = ServingPolicy(shape, weights), compile_program(shape)
        generator = np.random.default_rng(4)
        seen = generator.standard_normal((rows, shape.observation_size)).astype(np.float32)
        uniforms = generator.random((rows, len(shape.heads)))
        actions = np.zeros((rows, len(shape.heads)), np.int64)
        logprobs = np.zeros(rows, np.float32)
        parameters = flatten(shape, weights)
        outputs = np.zeros((rows, shape.policy_outputs + 1), np.float32)
        forward(parameters, program.layers, program.scratch, seen, outputs)
        sample_batch(outputs, program.heads, uniforms, 0, actions, logprobs)
        for row in range(rows):
            choice = policy.decide(seen[row], uniforms[row])
            assert choice.actions == tuple(actions[row])
            assert np.float32(choice.logprob) == logprobs[row]
            assert choice.value == outputs[row, -1]


def run_python(code: str, **variables: str) -> str:
    """What `code` prints in a process of its own that finds ztb where this one does."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout


_PRINT_BITS = """
import numpy as np
from ztb.trading.policy.serving import ServingPolicy
from ztb.trading.policy.weights import NetworkShape, initial_weights, weights_sha256
shape = NetworkShape(11, (5, 3), (64, 64))
weights = initial_weights(shape, 7)
policy = ServingPolicy(shape, weights)
seen = np.random.default_rng(1).standard_normal((50, 11)).astype(np.float32)
choices = [policy.decide(row, np.array([0.3, 0.9])) for row in seen]
print(weights_sha256(weights), [(c.actions, c.logprob.hex(), c.value.hex()) for c in choices])
"""


def test_another_process_decides_the_same_bits() -> None:
    runs = {run_python(_PRINT_BITS, PYTHONHASHSEED=str(seed)) for seed in range(2)}
    assert len(runs) == 1
    assert "0x" in runs.pop()


def test_serving_imports_no_torch() -> None:
    code = "import sys, ztb.trading.policy.serving; print('torch' in sys.modules)"
    assert run_python(code).strip() == "False"


def test_initial_weights_are_orthogonal_with_the_gains_of_the_paper() -> None:
    for shared in (True, False):
        weights = initial_weights(NetworkShape(8, (5,), (64, 64), shared_trunk=shared), 0)
        tower = "trunk" if shared else "policy"
        square = weights[f"{tower}.1.weight"].astype(np.float64)
        np.testing.assert_allclose(square @ square.T, 2 * np.eye(64), atol=1e-5)
        policy = weights[f"{tower}.2.weight"][:, :5].astype(np.float64)
        np.testing.assert_allclose(policy.T @ policy, 1e-4 * np.eye(5), atol=1e-9)
        value = weights["trunk.2.weight" if shared else "value.2.weight"][:, -1]
        assert np.linalg.norm(value) == pytest.approx(1.0, abs=1e-5)
        assert all(not array.any() for name, array in weights.items() if name.endswith("bias"))


def test_initial_weights_may_be_uniform_instead() -> None:
    weights = initial_weights(NetworkShape(25, (5,), (64,)), 0, orthogonal=False)
    matrix = weights["trunk.0.weight"]
    assert np.abs(matrix).max() <= 0.2 and abs(float(matrix.std()) - 0.2 / np.sqrt(3)) < 0.01
    assert all(not array.any() for name, array in weights.items() if name.endswith("bias"))


def test_initial_weights_start_nearly_uniform_and_follow_the_seed() -> None:
    shape = SHAPES[0]
    policy = ServingPolicy(shape, initial_weights(shape, 3))
    np.testing.assert_allclose(policy.probabilities(observation(shape))[0], 0.2, atol=0.02)
    digests = {weights_sha256(initial_weights(shape, seed)) for seed in (1, 1, 2)}
    assert len(digests) == 2


def test_the_digest_knows_names_shapes_and_types_but_not_the_order() -> None:
    array = np.arange(6, dtype=np.float32)
    base = weights_sha256({"a": array, "b": array})
    assert weights_sha256({"b": array, "a": array}) == base
    others = [
        {"a": array, "c": array},
        {"a": array.reshape(2, 3), "b": array},
        {"a": array, "b": array + 1},
        {"a": array, "b": array.view(np.int32)},
    ]
    assert len({base, *(weights_sha256(other) for other in others)}) == 5
    assert weights_sha256({"a": array.astype(">f4"), "b": array}) == base


def test_a_swap_serves_the_new_weights_and_keeps_no_view_of_them() -> None:
    shape = SHAPES[0]
    old, new = moved(shape, 1), moved(shape, 2)
    policy, seen = ServingPolicy(shape, old), observation(shape)
    uniforms = np.array([0.5])
    expected = ServingPolicy(shape, new).decide(seen, uniforms)
    before = policy.decide(seen, uniforms)
    policy.swap(new)
    new["trunk.0.weight"][:] = np.nan
    assert policy.decide(seen, uniforms) == expected != before
    policy.swap(old)
    assert policy.decide(seen, uniforms) == before


def test_weights_of_another_network_are_refused_and_the_old_ones_serve_on() -> None:
    shape = SHAPES[0]
    policy, seen = ServingPolicy(shape, initial_weights(shape, 1)), observation(shape)
    before = policy.decide(seen, np.array([0.5]))
    for other in (NetworkShape(8, (5,)), NetworkShape(7, (5,), shared_trunk=False), NetworkShape(7, (4,))):
        with pytest.raises(ConfigError, match="not of the network"):
            policy.swap(initial_weights(other, 1))
    assert policy.decide(seen, np.array([0.5])) == before


def test_an_observation_of_another_size_is_refused() -> None:
    policy = ServingPolicy(SHAPES[0], initial_weights(SHAPES[0], 1))
    with pytest.raises(InvariantError, match="7"):
        policy.decide(np.zeros(1, np.float32), np.array([0.5]))


def test_non_finite_weights_show_in_the_value_and_log_prob() -> None:
    shape = SHAPES[0]
    weights = initial_weights(shape, 1)
    weights["trunk.0.weight"][:] = np.nan
    choice = ServingPolicy(shape, weights).decide(observation(shape), np.array([0.5]))
    assert np.isnan(choice.value)
    assert np.isnan(choice.logprob)


def test_flat_vector_and_names_are_the_same_numbers() -> None:
    for shape in SHAPES:
        weights = moved(shape, 9)
        vector = flatten(shape, weights)
        assert all(np.array_equal(weights[name], array) for name, array in unflatten(shape, vector).items())
        assert vector.size == sum(array.size for array in weights.values())


@pytest.mark.parametrize(
    "options",
    [{"heads": ()}, {"heads": (0,)}, {"heads": (2,), "hidden": ()}, {"heads": (2,), "continuous": 1}],
)
def test_an_impossible_network_is_a_configuration_error(options: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(ConfigError, match="network"):
        NetworkShape(4, **options)
