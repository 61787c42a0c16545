"""What is saved comes back as it was, types and bits; what cannot be saved is named."""

from __future__ import annotations

import random
from collections import OrderedDict
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as npst
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from utils.checkpoint_states import same, small_state
from ztb.utils import CheckpointManager

COMPRESSIONS = ("none", "zstd", "exponent")


@pytest.fixture(scope="module", params=COMPRESSIONS)
def manager(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CheckpointManager:
    return CheckpointManager(tmp_path_factory.mktemp("base"), max_generations=1, compression=request.param)


def back(manager: CheckpointManager, state: Any, **how: Any) -> Any:
    manager.save(state, "exp")
    return manager.load("exp", **how)


def test_every_plain_kind_comes_back(manager: CheckpointManager) -> None:
    state = small_state(3)
    assert same(back(manager, state), state)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.characters(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.dictionaries(st.text(), inner).map(OrderedDict)
    ),
    max_leaves=12,
)
dtypes = (
    npst.scalar_dtypes()
    | npst.byte_string_dtypes()
    | npst.unicode_string_dtypes()
    | npst.nested_dtypes(max_leaves=5)
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(state=plain)
def test_any_plain_state_comes_back(manager: CheckpointManager, state: Any) -> None:
    assert same(back(manager, state), state)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_array_comes_back(manager: CheckpointManager, data: st.DataObject) -> None:
    dtype = data.draw(dtypes)
    array = data.draw(npst.arrays(dtype, npst.array_shapes(min_dims=0, min_side=0, max_side=4)))
    if array.ndim and data.draw(st.booleans()):
        array = array[::2]
    if data.draw(st.booleans()):
        array = array.T
    array = np.array(array, order="K") if data.draw(st.booleans()) else array
    assert same(back(manager, {"a": array})["a"], array)


def test_numpy_scalars_stay_scalars(manager: CheckpointManager) -> None:
    state = [
        np.float64(1.5),
        np.int8(-3),
        np.bool_(True),
        np.str_("ä"),
        np.datetime64("2026-01-01", "ns"),
        np.longdouble(1) / 3,
    ]
    assert same(back(manager, state), state)


def test_overlapping_fields_titles_and_alignment(manager: CheckpointManager) -> None:
    overlapping = np.dtype(
        {
            "names": ["price", "bits", "tail"],
            "formats": ["<f8", "<u8", "<i2"],
            "offsets": [0, 0, 12],
            "itemsize": 24,
        }
    )
    titled = np.dtype([(("the price", "price"), ">f8"), ("side", "i1")])
    aligned = np.dtype([("side", "i1"), ("price", "f8"), ("levels", "<f4", (2, 3))], align=True)
    memory = np.random.default_rng(0).integers(0, 256, 24 * 6, dtype=np.uint8)
    state = [
        memory.view(overlapping),
        memory.view(overlapping)[::2],
        memory.view(overlapping)[1],
        np.zeros(3, titled),
        np.ones(2, aligned),
    ]
    assert same(back(manager, state), state)


def test_types_of_tensors(manager: CheckpointManager) -> None:
    torch = pytest.importorskip("torch")
    floats = ["float64", "float32", "float16", "bfloat16", "complex128", "complex64"]
    integers = ["int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "bool"]
    plain = torch.arange(48).reshape(6, 8) % 5
    state: dict[str, Any] = {name: plain.to(getattr(torch, name)) for name in floats + integers}
    state["float8_e4m3fn"] = plain.float().to(torch.float8_e4m3fn)
    state["transposed"] = plain.float().t()
    state["strided"] = plain.float()[::2, 1::3]
    state["expanded"] = torch.ones(1, 4).expand(3, 4)
    state["conjugated"] = torch.randn(3, dtype=torch.complex64).conj()
    state["0-d"], state["empty"] = torch.tensor(3.0), torch.zeros(0, 4)
    state["channels last"] = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    state["parameter"] = torch.nn.Parameter(torch.randn(3))
    state["leaf"] = torch.randn(3, requires_grad=True)
    loaded = back(manager, state)
    assert [name for name in state if not same(loaded[name], state[name])] == []


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.filterwarnings("ignore:ComplexHalf")
def test_sparse_and_half_complex_tensors(manager: CheckpointManager) -> None:
    torch = pytest.importorskip("torch")
    dense = torch.eye(4) * torch.arange(4)
    layouts = [dense.to_sparse(), dense.to_sparse_csr(), dense.to_sparse_csc(), dense.to_sparse_bsr((2, 2))]
    uncoalesced = torch.sparse_coo_tensor([[0, 0]], [1.0, 2.0], (3,), is_coalesced=False, requires_grad=True)
    state = [*layouts, uncoalesced]
    loaded = back(manager, state)
    assert same(loaded, state)
    assert not loaded[-1].is_coalesced()
    half = torch.tensor([1 + 2j, 3 - 4j], dtype=torch.complex32)
    assert same(back(manager, half), half)
    np.testing.assert_array_equal(back(manager, half, as_numpy=True), [1 + 2j, 3 - 4j])
    as_numpy = back(manager, layouts[1], as_numpy=True)
    assert as_numpy["layout"] == "sparse_csr"
    np.testing.assert_array_equal(as_numpy["values"], [1.0, 2.0, 3.0])


def test_tensors_as_numpy(manager: CheckpointManager) -> None:
    torch = pytest.importorskip("torch")
    values = torch.tensor([1.5, -2.0, 3.0])
    state = {"f4": values, "bf16": values.bfloat16(), "f2": values.half(), "f8": values.to(torch.float8_e5m2)}
    loaded = back(manager, state, as_numpy=True)
    assert {name: array.dtype.str for name, array in loaded.items()} == {
        "f4": "<f4",
        "bf16": "<f4",
        "f2": "<f2",
        "f8": "|u1",
    }
    for name in ("f4", "bf16", "f2"):
        np.testing.assert_array_equal(loaded[name], values.numpy())


def test_training_resumes_bit_for_bit(manager: CheckpointManager) -> None:
    torch = pytest.importorskip("torch")

    def make() -> tuple[Any, Any]:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.BatchNorm1d(16), torch.nn.Linear(16, 1))
        return model, torch.optim.Adam(model.parameters(), lr=1e-2)

    def train(model: Any, optimizer: Any, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            model(torch.randn(32, 8)).square().mean().backward()
            optimizer.step()

    model, optimizer = make()
    train(model, optimizer, 3)
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}
    loaded = back(manager, state)
    assert same(loaded, state)
    train(model, optimizer, 3)
    resumed, its_optimizer = make()
    resumed.load_state_dict(loaded["model"])
    its_optimizer.load_state_dict(loaded["optimizer"])
    torch.set_rng_state(loaded["rng"])
    train(resumed, its_optimizer, 3)
    assert same(resumed.state_dict(), model.state_dict())


def test_random_generators_resume(manager: CheckpointManager) -> None:
    python, legacy = random.Random(5), np.random.RandomState(5)
    kinds = (np.random.PCG64, np.random.Philox, np.random.SFC64)
    generators = [np.random.Generator(kind(5)) for kind in kinds]
    for generator in generators:
        generator.integers(0, 9, dtype=np.int32)
    loaded = back(
        manager, (python.getstate(), legacy.get_state(), [g.bit_generator.state for g in generators])
    )
    expected = [python.random(), legacy.rand(), *(g.random() for g in generators)]
    python.setstate(loaded[0])
    legacy.set_state(loaded[1])
    for generator, state in zip(generators, loaded[2], strict=True):
        generator.bit_generator.state = state
    assert [python.random(), legacy.rand(), *(g.random() for g in generators)] == expected


class Point(tuple):
    pass


@pytest.mark.parametrize(
    ("state", "place"),
    [
        ({"a": [1, {2: {3}}]}, "state['a'][1][2]: cannot save a builtins.set"),
        ({"a": Point()}, "state['a']: cannot save a test_checkpoint_types.Point"),
        ({1.5: 0}, "state[1.5]: cannot save a dict with the key 1.5"),
        ({True: 0}, "state[True]: cannot save a dict with the key True"),
        ([np.array([None])], "state[0]: cannot save numpy dtype object"),
        ([np.zeros(2).view(np.recarray)], "state[0]: cannot save a numpy"),
        (1j, "state: cannot save a builtins.complex"),
        (lambda: 0, "state: cannot save a builtins.function"),
    ],
)
def test_what_cannot_be_saved_is_named(manager: CheckpointManager, state: Any, place: str) -> None:
    before = manager.list("named")
    with pytest.raises(TypeError) as error:
        manager.save(state, "named")
    assert place.replace("test_checkpoint_types.", "") in str(error.value).replace(f"{Point.__module__}.", "")
    assert manager.list("named") == before


def test_a_state_that_contains_itself_is_refused(manager: CheckpointManager) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(TypeError, match="nested more than 64 deep"):
        manager.save(endless, "exp")


def test_the_deepest_state_comes_back(manager: CheckpointManager) -> None:
    deep: Any = np.zeros(2)
    for level in range(64):
        deep = [deep] if level % 2 else {"a": deep}
    assert same(back(manager, deep), deep)


def test_strange_tensors_are_refused(manager: CheckpointManager) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"state\['w'\].*on meta without plain memory"):
        manager.save({"w": torch.zeros(2, device="meta")}, "exp")


def test_nothing_is_saved_beyond_the_limit(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path, max_state_bytes=1000)
    with pytest.raises(Exception, match="1008 bytes, max_state_bytes is 1000"):
        manager.save(np.zeros(126), "exp")
    assert manager.list("exp") == []


def test_a_state_of_too_many_plain_values_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ztb.utils.checkpoint.store.MAX_MANIFEST_BYTES", 10_000)
    manager = CheckpointManager(tmp_path)
    with pytest.raises(TypeError, match="put large lists into numpy arrays"):
        manager.save(list(range(5000)), "exp")
    assert [path.name for path in (tmp_path / "exp").iterdir()] == ["lock"]
    assert manager.save(list(range(50)), "exp").number == 0
