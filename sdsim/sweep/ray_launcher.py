"""A Hydra launcher for Ray: each run is a task of a cluster, made again where its worker dies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


class RayLauncher(Launcher):
    """``hydra/launcher=ray``: the jobs of a sweep on a Ray cluster.

    The store must be a folder that all nodes share, and sdsim be installed on each.

    Args:
        address: of the cluster (``"auto"``, ``"ray://…"``); None starts one on this machine.
        workers: CPUs of the cluster that is started; None: all.
        cpus_per_run, gpus_per_run: what one run reserves.
        retries: how often a run is made again whose worker died.

    Raises:
        ValueError: where Ray is not installed, and for what no run could be done with.
    """

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        cpus_per_run: float = 1,
        gpus_per_run: float = 0,
        retries: int = 3,
    ) -> None:
        counts = {"cpus_per_run": cpus_per_run, "gpus_per_run": gpus_per_run, "retries": retries}
        for name, value in {**counts, "workers": 1 if workers is None else workers}.items():
            least = 1 if name == "workers" else 0
            if not isinstance(value, int | float) or value < least:
                raise ValueError(f"hydra.launcher.{name} = {value!r}: a number from {least} on")
        try:
            import ray
        except ImportError as error:
            raise ValueError(
                "hydra/launcher=ray needs Ray, which is not installed: pip install -e '.[ray]'"
            ) from error
        self.ray = ray
        self.address, self.workers = address, workers
        self.task_options: dict[str, Any] = {
            "num_cpus": cpus_per_run,
            "num_gpus": gpus_per_run,
            "max_retries": retries,
        }

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what a job needs; Hydra calls this."""
        self.job = (hydra_context, task_function, config)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run all jobs; the cluster is left as it was."""
        setup_globals()
        ours = not self.ray.is_initialized()
        if ours:
            cluster: dict[str, Any] = {"address": self.address, "log_to_driver": False}
            if self.address is None:
                cluster |= {"num_cpus": self.workers, "include_dashboard": False}
            self.ray.init(**cluster)
        try:
            if self.address is None:
                resources: dict[str, float] = self.ray.cluster_resources()  # type: ignore[no-untyped-call,unused-ignore]
                self._check(resources)
            job, state = self.ray.put(self.job), self.ray.put(Singleton.get_state())
            remote = self.ray.remote(**self.task_options)(_run)
            tasks = [
                remote.remote(job, state, initial_job_idx + index, list(overrides))
                for index, overrides in enumerate(job_overrides)
            ]
            returned: list[JobReturn] = self.ray.get(tasks)
        finally:
            if ours:
                self.ray.shutdown()
        return returned

    def _check(self, resources: Mapping[str, float]) -> None:
        """Raise `ValueError` where a run would wait for ever for what the machine lacks."""
        for name, kind in (("cpus_per_run", "CPU"), ("gpus_per_run", "GPU")):
            needed, there = self.task_options[f"num_{kind.lower()}s"], resources.get(kind, 0)
            if needed > there:
                raise ValueError(
                    f"hydra.launcher.{name} = {needed}: this cluster has {there:g}; "
                    "hydra.launcher.address names another"
                )


def _run(
    job: tuple[HydraContext, TaskFunction, DictConfig],
    singletons: dict[Any, Any],
    index: int,
    overrides: list[str],
) -> JobReturn:
    """One job, in a worker."""
    hydra_context, task_function, config = job
    setup_globals()
    Singleton.set_state(singletons)
    composed = hydra_context.config_loader.load_sweep_config(config, overrides)
    with open_dict(composed):
        composed.hydra.job.id, composed.hydra.job.num = str(index), index
    HydraConfig.instance().set_config(composed)
    return run_job(
        hydra_context=hydra_context,
        task_function=task_function,
        config=composed,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
