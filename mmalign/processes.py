"""One run across processes, GPUs and hosts: started here, by torchrun, or by a scheduler.

Every process runs the whole program with the same seeds, and takes its share of every batch
(``mmalign.group``). The first one writes and speaks; the others keep to a folder that they
throw away. Lightning Fabric knows the cluster, the devices and the backend that they talk by.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from rich.console import Console

from mmalign import hooks
from mmalign.copies import CHILD, Copies, end_with_parent
from mmalign.errors import MmalignError
from mmalign.extras import need
from mmalign.group import Group, LostError
from mmalign.place import checked_device
from mmalign.plugins import Registry
from mmalign.recipe import Recipe
from mmalign.run import Outcome, run
from mmalign.train import check_rowwise

# How long one process waits for another: for a host that is started by hand, too.
PATIENCE = timedelta(minutes=10)
BY_HAND = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")


@dataclass(frozen=True)
class Plan:
    """So many processes on each of so many hosts."""

    devices: int
    nodes: int = 1


def planned(
    devices: int | None, nodes: int | None, environment: Mapping[str, str] = os.environ
) -> Plan | None:
    """How many processes, as the options say or torchrun; None for one that is alone.

    Raises MmalignError where the two contradict each other.
    """
    if "TORCHELASTIC_RUN_ID" not in environment:
        plan = Plan(devices or 1, nodes or 1)
        return None if plan == Plan(1) else plan
    here = int(environment["LOCAL_WORLD_SIZE"])
    hosts = int(environment["WORLD_SIZE"]) // here
    if devices not in (None, here) or nodes not in (None, hosts):
        raise MmalignError(
            f"torchrun has started {here} processes on each of {hosts} hosts; leave out --devices"
            " and --nodes"
        )
    return Plan(here, hosts)


def run_across(
    recipe: Recipe,
    registry: Registry,
    console: Console,
    out: Path,
    reuse: Path | None,
    devices: int | None,
    nodes: int | None,
) -> Outcome | None:
    """Run a recipe in this process as one of several; None in all but the first.

    Raises MmalignError for what cannot be done so, before any other process is started.
    """
    plan = planned(devices, nodes)
    if plan is None:
        return run(recipe, registry, console, out, reuse)
    check(recipe, plan)
    with joined(plan, recipe.run.device, console) as group:
        if group.rank == 0:
            return run(recipe, registry, console, out, reuse, group=group)
        with tempfile.TemporaryDirectory(prefix="mmalign-") as folder:
            if os.environ.get("LOCAL_RANK") == "0":  # of another host, where a person may look
                console.print(f"process {group.rank + 1} of {group.size}; the first one reports")
            quiet = Console(quiet=True)
            run(recipe, unheard(registry), quiet, Path(folder), reuse, group=group)
        return None


def check(recipe: Recipe, plan: Plan) -> None:
    """Raise MmalignError for a recipe, a device or a host that does not go across processes."""
    need("distributed", "lightning_fabric")
    if not getattr(recipe.method, "across_processes", False):
        raise MmalignError(
            f"method.use: '{recipe.method.name}' does not train across processes; run it without"
            " --devices and --nodes"
        )
    if recipe.run.together is True:
        raise MmalignError("run.together: processes train one seed after another; leave it out")
    check_rowwise(recipe.parts.losses)
    device = recipe.run.device
    if device not in ("cpu", "cuda"):
        raise MmalignError(
            f"run.device: '{device}' is no device of several processes; 'cpu' is, and 'cuda',"
            " where each process takes a GPU of its own"
        )
    checked_device(device)
    if device == "cuda" and (here := torch.cuda.device_count()) < plan.devices:
        some = f"{here} GPU{'' if here == 1 else 's'}"
        raise MmalignError(f"--devices {plan.devices}: this host has {some}")


def unheard(registry: Registry) -> Registry:
    """The same components, without the hooks that tell plugins of a run."""
    silent = Registry()
    silent.manager.add_hookspecs(hooks)
    return replace(registry, manager=silent.manager)


@contextmanager
def joined(plan: Plan, device: str, console: Console) -> Iterator[Group]:
    """Be one of the processes of a plan; the first on a host starts the others, if need be.

    Whatever ends one of them ends all: no process waits for one that has gone.
    """
    if CHILD in os.environ:
        end_with_parent()
    fabric = _fabric(plan, device)
    environment = fabric.strategy.cluster_environment
    copies = Copies(console)
    if not environment.creates_processes_externally:
        _check_by_hand(plan)
        copies.start(plan.devices, plan.nodes, environment)
    with copies:
        _launch(fabric, plan)
        group = Group(fabric.global_rank, fabric.world_size, str(fabric.device))
        try:
            yield group
            group.wait()
        finally:
            dist.destroy_process_group()


def _fabric(plan: Plan, device: str) -> Any:
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # who is who, five lines long
    try:
        return Fabric(
            accelerator=device,
            devices=plan.devices,
            num_nodes=plan.nodes,
            strategy=DDPStrategy(timeout=PATIENCE),
        )
    except (RuntimeError, ValueError) as error:
        raise MmalignError(f"--devices {plan.devices}: {error}") from None


def _launch(fabric: Any, plan: Plan) -> None:
    try:
        fabric.launch()
    except (RuntimeError, ValueError) as error:
        raise LostError(
            f"--devices {plan.devices}, --nodes {plan.nodes}: the processes did not come together:"
            f" {str(error).splitlines()[0]}"
        ) from None


def _check_by_hand(plan: Plan) -> None:
    """Raise MmalignError where hosts cannot find one another."""
    missing = [name for name in BY_HAND if name not in os.environ]
    if plan.nodes > 1 and missing:
        raise MmalignError(
            f"--nodes {plan.nodes}: start the same command on each host, with the first host's"
            " MASTER_ADDR, a free MASTER_PORT of it, and NODE_RANK from 0 as environment"
            f" variables (missing: {', '.join(missing)}); or use torchrun"
        )
    rank = os.environ.get("NODE_RANK", "0")
    if not rank.isdecimal() or int(rank) >= plan.nodes:
        raise MmalignError(f"NODE_RANK={rank}: with --nodes {plan.nodes} it is below {plan.nodes}")
