"""`ztb train`: PPO on recorded history, in a folder from which it can be resumed and served."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from ztb.config import Config, config_hash, recorded_config
from ztb.errors import ConfigError, DataError, ResourceError, UsageError
from ztb.learning.pretrain import begin_training
from ztb.learning.regime import ScheduledOptions, guided
from ztb.learning.service.initial_policy import CHECKPOINT_NAME
from ztb.learning.training import CurvePoint, Training
from ztb.ledger.looks import Look, Looks
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.build.assembly import assemble, describe
from ztb.runtime.build.context import configured_instrument
from ztb.runtime.build.pretraining import ticks_before, training_settings
from ztb.runtime.guards import MemoryGuard, resident_bytes
from ztb.runtime.modes.replay import ReplayRequest, open_data
from ztb.trading.policy.weights import weights_sha256
from ztb.trading.ppo.finite import check_state
from ztb.trading.ppo.progress import TrainingProgress
from ztb.trading.ppo.saving import BackgroundSaver, background_saver
from ztb.utils import CheckpointManager
from ztb.utils.background import peak_rss_bytes
from ztb.utils.installation import code_version

_WAIT_S = 1.0
_PATIENCE = 60


class TrainingRelief:
    """Called after each update. `events` tell what it did; they and the smaller minibatches are kept over a resume."""

    def __init__(
        self,
        training: Training,
        limit_gb: float,
        sleep: Callable[[float], None],
        measure: Callable[[], int] = resident_bytes,
    ) -> None:
        self.events: list[dict[str, Any]] = []
        self._training = training
        self._sleep = sleep
        self._guard = MemoryGuard(limit_gb, self, measure)
        self._halvings = 0
        self._paused = False

    def __call__(self, save: Callable[[], None]) -> None:
        """Look, and wait while training is paused. ResourceError, after `save`: there is no room to go on."""
        try:
            self._guard()
            if self._paused:
                save()
                self._wait()
        except ResourceError:
            save()
            raise

    def _wait(self) -> None:
        """Until others have given memory back, for a minute."""
        for _ in range(_PATIENCE):
            self._sleep(_WAIT_S)
            self._guard()
            if not self._paused:
                return
        raise ResourceError("memory: no room to go on with for a minute; what was done is kept")

    def shrink(self, used_gb: float) -> None:
        """See `Relief`."""
        self._halvings += 1
        self._halve()
        self._tell("memory_shrink", used_gb)

    def pause(self, used_gb: float) -> None:
        """See `Relief`."""
        self._paused = True
        self._tell("memory_pause", used_gb)

    def resume(self, used_gb: float) -> None:
        """See `Relief`."""
        self._paused = False
        self._tell("memory_resume", used_gb)

    def _halve(self) -> None:
        options = guided((self._training.settings.ppo,), ScheduledOptions(halvings=self._halvings))
        self._training.updater.reconfigure(options)

    def _tell(self, kind: str, used_gb: float) -> None:
        self.events.append({"update": self._training.updates, "kind": kind, "used_gb": round(used_gb, 3)})

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {"halvings": self._halvings, "events": list(self.events)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state()`."""
        self._halvings, self.events = state["halvings"], list(state["events"])
        self._halve()


STATE_NAME = "training"
"""The experiment that holds what training goes on from; the policies are in `origin.CHECKPOINT_NAME`."""

_Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """A request to train: the last `validation_ns` are held out, or a fifth of the decisions where it is 0."""

    config: Config
    paths: tuple[Path, ...]
    seed: int
    start_ns: int | None = None
    end_ns: int | None = None
    validation_ns: int = 0
    updates: int = 400
    patience: int = 10
    device: str = "cpu"

    def manifest(self) -> _Json:
        """As JSON; `of` reads it back."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in ("config", "paths")}
        data = [str(path.resolve()) for path in self.paths]
        return {**plain, "data": data, "config": self.config.model_dump(mode="json")}

    @classmethod
    def of(cls, manifest: _Json, where: str) -> Self:
        """The request that `manifest`, of the training in `where`, wrote down. DataError: this version cannot read
        it.
        """
        plain = {name: manifest[name] for name in cls.__slots__ if name not in ("config", "paths")}
        config = recorded_config(manifest, where)
        return cls(config=config, paths=tuple(Path(path) for path in manifest["data"]), **plain)


class TrainingRun:
    """One training from request to summary: make it, `resume` it perhaps, `train`, `finish`."""

    def __init__(self, request: TrainRequest, directory: RunDirectory) -> None:
        """Reads the data. ConfigError, DataError: they or the request cannot be trained on."""
        self.request = request
        self.directory = directory
        config = request.config
        check_device(request.device)
        self.history = open_data(
            ReplayRequest(
                config=config,
                paths=request.paths,
                seed=request.seed,
                start_ns=request.start_ns,
                end_ns=request.end_ns,
            )
        )
        instrument = configured_instrument(self.history.instrument, config.market)
        self.assembly = assemble(config, instrument, self.history.bar_ns, request.seed)
        if not self.assembly.strategy.learns:
            raise ConfigError(f"strategy {config.strategy.name!r} learns nothing: train one that does")
        ticks = ticks_before(self.history, None)
        held_out_ns = int(ticks["ts_ns"][-1]) - request.validation_ns + 1 if request.validation_ns else None
        settings = replace(
            training_settings(self.assembly),
            updates=request.updates,
            patience=request.patience,
            device=request.device,
            validation_from_ns=held_out_ns,
        )
        self.training, parts, self._normaliser = begin_training(ticks, instrument, settings, request.seed)
        self._spans = {
            name: {
                "decisions": part.decisions,
                "first_ts": int(part.shared.times_ns[0]),
                "last_ts": int(part.shared.times_ns[-1]),
            }
            for name, part in zip(("trained_on", "held_out"), parts, strict=True)
        }
        self._manager = CheckpointManager(directory.checkpoints, config.checkpoint.max_generations)
        self._schema = self.assembly.features().schema_hash
        self._relief = TrainingRelief(self.training, config.limits.max_memory_gb, time.sleep)
        self._steps_before = 0

    def begin(self) -> None:
        """Write down what is trained, so that it can be resumed."""
        self.directory.write_json(
            self.directory.manifest,
            {
                "mode": "train",
                **self.request.manifest(),
                "code_version": code_version(),
                "data_digest": self.history.digest,
                "instrument": dict(describe(self.assembly.instrument)),
                "features": list(self.assembly.features().names),
                "ladder": list(self.assembly.bridge.ladder),
                "period_ns": self.assembly.period_ns,
            },
        )

    def resume(self) -> None:
        """Go on from the newest state that verifies, bit for bit; from the start where none was saved yet."""
        then = self.directory.read_json(self.directory.manifest)["data_digest"]
        if then != self.history.digest:
            raise DataError(
                f"{self.directory.path}: the data have changed since this training began: restore them"
            )
        if any(generation.fault is None for generation in self._manager.list(STATE_NAME)):
            state = self._manager.load(STATE_NAME)
            self.training.load_state(state)
            self._relief.load_state(state["memory"])
            self._steps_before = self._steps

    def train(self, on_update: Callable[[TrainingProgress], None], stop: Callable[[], bool]) -> bool:
        """Update until the end, or until `stop` says so; whether it was the end. What was done is saved either way.

        ResourceError: memory ran short; what was done is saved. StrategyError, NonFiniteError: something is not
        finite; what was learnt before it is saved.
        """
        training, every = self.training, self.request.config.checkpoint.interval_updates
        began = time.monotonic()
        with background_saver() as saver:
            save = partial(self._save, saver)
            for point in training.run(stop, save, every):
                on_update(self._progress(point, time.monotonic() - began))
                self._relief(save)
            save()
        return training.over

    @property
    def _steps(self) -> int:
        return self.training.curve[-1].steps if self.training.curve else 0

    def _progress(self, point: CurvePoint, seconds: float) -> TrainingProgress:
        speed = (point.steps - self._steps_before) / seconds
        best = self.training.best.validation
        return TrainingProgress(
            steps=point.steps,
            total_steps=self.total_steps,
            updates=point.update,
            steps_per_s=speed,
            mean_return=math.nan,
            mean_length=math.nan,
            stats=point.stats,
            validation=best if math.isfinite(best) else None,
        )

    @property
    def total_steps(self) -> int:
        """Decisions trained on if nothing ends it early."""
        ppo = self.request.config.ppo
        return self.request.updates * ppo.num_envs * ppo.num_steps

    def _save(self, saver: BackgroundSaver) -> None:
        """Save the state that training goes on from; and the best policy, if it has not been saved yet."""
        state = {**self.training.state(), "memory": self._relief.state()}
        policy, facts = self._policy()
        check_state([state["updater"], policy["weights"], policy["updater"]], "the state to be saved")

        async def save() -> None:
            if not self._saved(policy["updates"]):
                await self._manager.save_async(policy, CHECKPOINT_NAME, **facts)
            await self._manager.save_async(state, STATE_NAME)

        saver.save(save)

    def _saved(self, update: int) -> bool:
        """True if the newest policy on disk is the one of `update`, or there is none to be saved."""
        kept = self._manager.list(CHECKPOINT_NAME)
        return update == 0 or bool(
            kept and kept[-1].lineage.get("update") == update and kept[-1].fault is None
        )

    def _policy(self) -> tuple[_Json, _Json]:
        """The best generation as a run serves it, and what is known of it."""
        best = self.training.best
        state = {
            "weights": best.weights,
            "updater": best.updater_state,
            "updates": best.update,
            "normaliser": self._normaliser,
            "feature_schema": self._schema,
        }
        lineage = {
            "update": best.update,
            "weights_sha256": weights_sha256(best.weights),
            "data_digest": self.history.digest,
            "config_hash": config_hash(self.request.config),
            "feature_schema": self._schema,
        }
        return state, {"metrics": {"validation_mean_reward": best.reward}, "lineage": lineage}

    def finish(self) -> _Json:
        """Write `summary.json`; returns it."""
        training, config = self.training, self.request.config
        summary = {
            "mode": "train",
            "strategy": config.strategy.name,
            "symbol": self.assembly.instrument.symbol,
            "seed": self.request.seed,
            "config_hash": config_hash(config),
            "code_version": code_version(),
            "data_digest": self.history.digest,
            **self._spans,
            "updates": training.updates,
            "steps": self._steps,
            "ended": "early" if training.stale else "complete",
            "best_update": training.best.update,
            "validation_mean_reward": asdict(training.validation()),
            "weights_sha256": weights_sha256(training.best.weights),
            "last_weights_sha256": weights_sha256(training.updater.weights()),
            "events": self._relief.events,
            "peak_rss_mb": peak_rss_bytes() / 1e6,
            "curve": [point.plain() for point in training.curve],
        }
        self.directory.write_json(self.directory.summary, summary)
        Looks.beside(self.directory.path).add([self._look()])
        return summary

    def _look(self) -> Look:
        """It has seen what it was trained on, and how that does on what was held out. The same training is one."""
        asked = json.dumps(self.request.manifest() | {"data": self.history.digest}, sort_keys=True)
        key = hashlib.sha256(f"{asked}\n{code_version()}".encode()).hexdigest()[:32]
        return Look(
            data=self.history.content_digest,
            first_ns=self._spans["trained_on"]["first_ts"],
            last_ns=self._spans["held_out"]["last_ts"],
            kind="train",
            key=key,
            run=str(self.directory.path),
        )

    def close(self) -> None:
        """Give the checkpoints' lock back."""
        self._manager.close()


def load_request(directory: RunDirectory) -> TrainRequest:
    """The request of a training in `directory`. DataError: it is none. UsageError: it is finished."""
    manifest = directory.read_json(directory.manifest)
    if manifest.get("mode") != "train":
        raise DataError(
            f"{directory.path}: a {manifest.get('mode')} run, no training: it cannot be resumed here"
        )
    if directory.summary.exists():
        raise UsageError(
            f"{directory.path}: this training is finished; serve it with ztb replay --from-generation"
        )
    return TrainRequest.of(manifest, str(directory.path))


def check_device(name: str) -> None:
    """ConfigError: torch knows no such device, or has none here."""
    import torch

    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"--device {name!r}: {reason}; cpu is always there") from None
