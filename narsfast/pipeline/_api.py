"""The whole search as one call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narsfast.common.options import RUN_OPTIONS
from narsfast.common.progress import Progress, notebook_or_silent
from narsfast.cost import Budget
from narsfast.runs import Executor
from narsfast.space import Space

from ._open import open_search
from ._own import Evaluate, Own, Statistic
from ._resume import Resume
from ._run import Run
from ._run_options import RunOptions
from ._stages import emit, evolve, optimize, pretrain, train

if TYPE_CHECKING:
    from typing_extensions import Unpack


def search(
    out: str | Path,
    *,
    data: Any = None,
    space: Space | str | Path | None = None,
    budgets: Sequence[Budget | str] | Budget | str = (),
    evaluate: Evaluate | None = None,
    executor: Executor | None = None,
    statistics: Mapping[str, Statistic] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    retry_failed: bool = False,
    accept_environment: bool = False,
    **options: Unpack[RunOptions],
) -> Run:
    """Find networks and their recipes for all budgets, or resume the search in `out`.

    Args:
        out: The run directory.
        data: ``digits``, a folder of images, a `Dataset`, or three torch data sets of (image, label) as a tuple
            (train, validation, test).
        space: A space, its name or its file.
        budgets: Bounds for each network asked for.
        evaluate: Trains the candidates of the search in the place of narsfast's trainer: given candidates and a number
            of epochs, it yields a `Trial` per candidate. The run then ends with the families: full trainings are the
            user's, too.
        executor: Where trainings run; it is not shut down.
        statistics: Further statistics by name, each a function of a list of candidates to as many numbers; budgets may
            bound them.
        workers: Trainings at once; the default is one per CPU core, or per GPU.
        progress: Told of every long stage; the default is a bar in a notebook, and nothing elsewhere.
        retry_failed: Whether trainings of the run that failed, were lost, ran out of time or memory are tried again.
        accept_environment: Whether a run goes on with other patch versions of python, torch or the loader.
        options: See below; None leaves one as it is.

    Raises:
        UserError: What was given cannot be used, or the run was made with other options.
    """
    own = Own(
        evaluate, executor, dict(statistics or {}), data if not isinstance(data, str | Path | None) else None
    )
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    given |= {"data": data} if isinstance(data, str | Path) else {}
    given |= {"space": space} if space is not None else {}
    given |= {"budgets": budgets} if budgets else {}
    told = progress or notebook_or_silent()
    resume = Resume(retry_failed=retry_failed, accept_environment=accept_environment)
    with open_search(out, given, workers, told, own, resume) as opened:
        pretrain(opened)
        optimize(opened)
        evolve(opened)
        if evaluate is None:
            train(opened)
            emit(opened)
    return Run(out, told, own)


def _describe_options(function: Callable[..., Run]) -> None:
    """Put the options into the signature and the documentation, as they are declared for the command line."""
    described = {name: RUN_OPTIONS[name] for name in RunOptions.__annotations__}
    signature = inspect.signature(function)
    named = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    named += [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=option.default, annotation=option.type
        )
        for name, option in described.items()
    ]
    function.__signature__ = signature.replace(parameters=named)  # type: ignore[attr-defined]
    lines = [
        f"    {name}: {option.description} Default: {option.stated_default() or None}."
        for name, option in described.items()
    ]
    text = inspect.getdoc(function) or ""
    function.__doc__ = text.replace("Raises:\n", "Options:\n" + "\n".join(lines) + "\n\nRaises:\n")


_describe_options(search)
