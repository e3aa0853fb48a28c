"""Latency as a statistic: the sum of the latencies of a network's parts, measured or interpolated.

That latencies of blocks add up is the assumption of FBNet's lookup tables (CVPR 2019); the interpolation of blocks that
were not timed is this project's choice. The errors of both are measured with the table and stored in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from narsfast.common.files import write_file
from narsfast.common.parse_json import parse_json
from narsfast.errors import UserError, refusal
from narsfast.space import (
    ACTIVATIONS,
    BLOCK_KINDS,
    DEFAULT_OPTIONS,
    HEADER_NAMES,
    INPUT_QUARTER,
    Space,
    Value,
)

from ._child_keys import ABSENT, WHOLE
from ._child_latency import check_children_timed, child_interpolation, place_of_parents, with_parents_at
from ._ridge import Ridge

FORMAT = 1
PART_COLUMNS = ("kind", "kernel", "expansion", "in", "out", "stride", "se", "side")
OPTION_COLUMNS = ("act", "block", "start_kernel", "se_width")
"""Columns of `NetworkCounter.parts`, which ends with the repeats; kind is 0 stem, 1 block, 2 head; side is that of the
input, in pixels. Options are numbers as in `narsfast.space.SpaceTables`; a table has them unless all are defaults."""
NO_TABLE = "needs a latency table: give one as `latency`, made by `narsfast latency measure`"
"""The end of messages about bounds on a latency for which there is no table."""

Parts = NDArray[np.int32]
Milliseconds = NDArray[np.float64]
Interpolation = Callable[[Parts, Milliseconds, Parts], Milliseconds]


class LatencyTable(BaseModel):
    """A latency table, as written by `narsfast latency measure`.

    Of a space of children, the parts are the children's, and networks that take part whole are parts of their own, to
    which `scale` does not apply.

    Attributes:
        format: Version of the file format.
        space: The space whose blocks were timed (`Space.to_dict`).
        in_chans: Channels of the images.
        num_classes: Outputs of the classifier.
        batch: Images per batch; a latency is that of the whole batch.
        threads: Number of CPU threads.
        machine: Name of the CPU.
        torch: Version of torch.
        ops: Implementation of the operators, as for `narsfast.create_model`.
        parts: (n, 8) or (n, 12), the timed parts: `PART_COLUMNS`, and `OPTION_COLUMNS` unless all are defaults; of a
            space of children (n, 16), `CHILD_COLUMNS`.
        milliseconds: (n,), the time of each.
        of: Number of different parts that the space has.
        part_error: Median relative error of the interpolation on timed parts that were held out; None of few parts.
        scale: Factor on the sum of parts, fitted to half of the whole networks that were timed.
        networks: Size of the other half, on which the table is checked.
        network_error: Median relative error of the table on that half.
        network_spearman: Rank correlation of the table with the times of that half.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    space: dict[str, Any]
    in_chans: int
    num_classes: int
    batch: int
    threads: int
    machine: str
    torch: str
    ops: str
    parts: tuple[tuple[int, ...], ...]
    milliseconds: tuple[float, ...]
    of: int
    part_error: float | None = None
    scale: float = 1.0
    networks: int = 0
    network_error: float | None = None
    network_spearman: float | None = None

    @classmethod
    def read(cls, file: str | Path) -> LatencyTable:
        """Read a table.

        Raises:
            UserError: The file cannot be read or is not a latency table.
        """
        try:
            return cls.from_dict(parse_json(Path(file).read_text(), "it"))
        except OSError as error:
            raise UserError(
                f"latency: {file} cannot be read ({error.strerror}); `narsfast latency measure` writes one"
            ) from None
        except (ValueError, UserError) as error:
            raise UserError(f"latency: {file} is not a latency table ({error}); measure one") from None

    @classmethod
    def from_dict(cls, data: Any) -> LatencyTable:
        """Build a table from the result of `model_dump`.

        Raises:
            UserError: The data is not a latency table of this format.
        """
        found = data.get("format") if isinstance(data, dict) else None
        if found != FORMAT:
            raise UserError(f"its format is {found}, this version reads {FORMAT}")
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise UserError(refusal(error)) from None

    def write(self, file: str | Path) -> None:
        """Write the table as JSON."""
        write_file(file, self.model_dump_json() + "\n")

    def label(self) -> str:
        """Return one line that identifies the table: what was timed, where, and a hash of everything."""
        digest = hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{self.space['name']}, batch {self.batch}, {threads}, torch {self.torch}, {self.machine}, {digest}"

    def check(self, space: Space, in_chans: int, num_classes: int) -> None:
        """Refuse a space that has other parts than the one that was timed.

        Raises:
            UserError: A part was not timed; the message names the first difference.
        """
        timed = Space.from_dict(self.space)
        remedy = "measure one for it with `narsfast latency measure`"
        if (in_chans, num_classes) != (self.in_chans, self.num_classes):
            raise UserError(
                f"latency: the table is for images of {self.in_chans} channels and {self.num_classes} classes, "
                f"not {in_chans} and {num_classes}; {remedy}"
            )
        if timed.parents or space.parents:
            check_children_timed(timed, space, remedy)
            return
        if timed.stages != space.stages:
            raise UserError(
                f"latency: the table is of space {timed.name}, which has {timed.stages} stages and not "
                f"{space.stages}; {remedy}"
            )
        names = [
            name for one in (space, timed) for c in one.architecture_fields for name in one.fields[c].fills
        ]
        for name in dict.fromkeys(names):
            if space.has(name) or name not in HEADER_NAMES:
                lacking = [value for value in _values(space, name) if value not in _values(timed, name)]
                if lacking:
                    raise UserError(
                        f"latency: the table is of space {timed.name}, in which {name} is never {lacking[0]!r}; {remedy}"
                    )

    def cost(self, parts: Parts) -> Milliseconds:
        """Return the milliseconds (n,) of parts (n, 13), repeats included."""
        known = np.array(self.parts, np.int32)
        kinds = parts[:, : known.shape[1]]
        guess = interpolated(known, np.array(self.milliseconds), kinds)
        return self.scale * self._known(kinds, guess) * parts[:, -1]

    def cost_of_children(self, space: Space) -> Callable[[Parts], Milliseconds]:
        """Return a function from parts of children of a space (n, `CHILD_COLUMNS`) to their milliseconds (n,)."""
        known = np.array(self.parts, np.int32)
        guess = child_interpolation(known, np.array(self.milliseconds), len(self.space["parents"]))
        places = place_of_parents(self.space, space)

        def cost(parts: Parts) -> Milliseconds:
            own = with_parents_at(parts, places)
            kind = own[:, 0]
            each = np.where(kind == WHOLE, 1.0, self.scale) * self._known(own, guess(own))
            return np.where(kind == ABSENT, 0.0, each)

        return cost

    def _known(self, parts: Parts, guess: Milliseconds) -> Milliseconds:
        """Return the times of parts that were timed, and the guess of others, (n,)."""
        timed = dict(zip(self.parts, self.milliseconds, strict=True))
        each = [timed.get(tuple(part), ms) for part, ms in zip(parts.tolist(), guess.tolist(), strict=True)]
        return np.array(each, np.float64)


def _values(space: Space, name: str) -> tuple[Value | None, ...]:
    """Return the values of a name of an architecture; of one that is left out its default."""
    if space.has(name):
        return space.values(name)
    stage, _, setting = name.partition(".")
    if stage.startswith("stage") and space.has(setting):
        return space.values(setting)
    return (DEFAULT_OPTIONS.get(setting if stage.startswith("stage") else name),)


def without_defaults(parts: Parts) -> Parts:
    """Return parts (n, 12) as tables store them: (n, 8) where all options are defaults."""
    plain, options = np.split(parts, [len(PART_COLUMNS)], axis=1)
    defaults = plain[:, PART_COLUMNS.index("se"), None] * [0, 0, 0, INPUT_QUARTER.code]
    return plain if np.array_equal(options, defaults) else parts


def interpolated(parts: Parts, milliseconds: Milliseconds, wanted: Parts) -> Milliseconds:
    """Predict the latency of other parts by ridge regression of log milliseconds on a polynomial of log sizes.

    Args:
        parts: (n, 8) or (n, 12), the timed parts.
        milliseconds: (n,), their times.
        wanted: (m, 8) or (m, 12), the parts to predict.

    Returns:
        Milliseconds (m,), within the range of the timed parts.
    """
    return Ridge(_polynomial(parts), milliseconds)(_polynomial(wanted))


def held_out_error(
    parts: Parts, milliseconds: Milliseconds, folds: int = 5, guess: Interpolation = interpolated
) -> float | None:
    """Return the median relative error of the interpolation in cross-validation; None with few parts."""
    if len(parts) < 2 * folds:
        return None
    fold = np.arange(len(parts)) % folds
    errors = []
    for index in range(folds):
        out = fold == index
        guessed = guess(parts[~out], milliseconds[~out], parts[out])
        errors.append(np.abs(guessed / milliseconds[out] - 1))
    return float(np.median(np.concatenate(errors)))


def _polynomial(parts: Parts) -> NDArray[np.float64]:
    """Return the regressors (n, D) of parts: their kind and options, and logs of sizes with all products of two."""
    columns = parts.astype(np.float64).T
    kind, kernel, expansion, inputs, outputs, stride, se, side = columns[: len(PART_COLUMNS)]
    middle = np.where(kind == 0, outputs, inputs * np.maximum(expansion, 1))
    out_side = np.where(kind == 2, 1, np.ceil(side / stride))
    pointwise = inputs * middle * side**2 + middle * outputs * out_side**2
    windows = middle * kernel**2 * out_side**2
    logs = [np.log1p(size) for size in (pointwise, windows, inputs * side**2, middle * out_side**2)]
    logs += [np.log(middle), np.log(np.maximum(outputs, 1)), np.log(side)]  # a head may have no features
    squares = [a * b for i, a in enumerate(logs) for b in logs[i:]]
    kinds: list[NDArray[np.float64]] = [kind == 0, kind == 2, stride, se, expansion == 1]
    if len(columns) > len(PART_COLUMNS):
        act, block, start, _ = columns[len(PART_COLUMNS) :]
        kinds += [act == index for index in range(1, len(ACTIVATIONS))]
        fused = block == BLOCK_KINDS.index("fused")
        kinds += [fused, fused * np.log(np.maximum(kernel, 1)), np.log1p(inputs * start**2 * side**2)]
    return np.stack([*kinds, *(se * log for log in logs), *logs, *squares], axis=1).astype(np.float64)
