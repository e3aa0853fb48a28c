"""How many candidates a second does the count of statistics handle on one core?

    python -m bench.statistics_speed [--quick] [--json FILE]

All statistics of the fbnetv3 space's candidates from their genes, beside counts of networks that are built: torch's
FlopCounterMode on the meta device, and fvcore's FlopCountAnalysis (it traces a forward pass on the CPU; left out
where fvcore is not installed). These count multiply-adds alone, of a network that exists; building it is timed
apart. One thread, all in turns, medians. Multiply-adds are compared first.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench import harness
from narsfast.arch import Definition, Network, create, definition_of
from narsfast.cost import STATISTICS, Counter
from narsfast.space import load_space

try:
    from fvcore.nn import FlopCountAnalysis
except ImportError:
    FlopCountAnalysis = None

SPACE = "fbnetv3"
BATCH = 16384


def image(network: Network, device: str) -> torch.Tensor:
    """Return one image of the network's resolution."""
    side = network.definition.resolution
    return torch.zeros(1, 3, side, side, device=device)


def build(definition: Definition, device: str) -> Network:
    """Build the network on a device, for evaluation."""
    with torch.device(device):
        return create(definition, ops="torch").eval()


@torch.no_grad()
def torch_macs(network: Network) -> int:
    """Count multiply-adds by torch's counter, which counts two operations for each."""
    with FlopCounterMode(display=False) as counted:
        network(image(network, "meta"))
    return counted.get_total_flops() // 2


@torch.no_grad()
def fvcore_macs(network: Network) -> int:
    """Count multiply-adds of convolutions and linear layers by fvcore, which counts norms and pools too."""
    counted = FlopCountAnalysis(network, image(network, "cpu"))
    counted.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    operators = counted.by_operator()
    return int(operators["conv"] + operators["linear"])


def all_work(networks: int) -> dict[str, tuple[int, Callable[[], object]]]:
    """Return everything timed, by name: how many networks a call handles, and the call.

    Raises:
        AssertionError: A count differs from ours.
    """
    counter = Counter(load_space(SPACE))
    genes = counter.space.random(BATCH, 1)
    macs = counter(genes[:networks])[:, STATISTICS.index("macs")].tolist()
    definitions = definition_of(counter.space, genes[:networks])
    on_meta = [build(definition, "meta") for definition in definitions]
    work: dict[str, tuple[int, Callable[[], object]]] = {
        "narsfast, all statistics": (BATCH, lambda: counter(genes)),
        "narsfast, all statistics, one candidate a call": (1, lambda: counter(genes[:1])),
        "torch FlopCounterMode": (networks, lambda: [torch_macs(network) for network in on_meta]),
        "building the network on the meta device": (1, lambda: build(definitions[0], "meta")),
    }
    assert [torch_macs(network) for network in on_meta] == macs, "torch counts other multiply-adds"
    if FlopCountAnalysis is not None:
        on_cpu = [build(definition, "cpu") for definition in definitions]
        assert [fvcore_macs(network) for network in on_cpu] == macs, "fvcore counts other multiply-adds"
        work["fvcore FlopCountAnalysis"] = (networks, lambda: [fvcore_macs(network) for network in on_cpu])
    return work


def main() -> None:
    """Run the benchmark."""
    options = harness.arguments(__doc__)
    torch.set_num_threads(1)
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    work = all_work(networks=1 if options.quick else 4)
    calls = {name: call for name, (_, call) in work.items()}
    seconds = harness.take_turns(calls, 3 if options.quick else 15, at_least=0.05)
    rates = {name: handled / seconds[name] for name, (handled, _) in work.items()}
    rows = [{"what": name, "networks_per_second": float(f"{rate:.4g}")} for name, rate in rates.items()]
    for row in rows:
        print(f"{row['what']:50}{row['networks_per_second']:>16,.1f}")
    ours = rates["narsfast, all statistics"]
    figures = {"statistics_per_s_per_core": ours}
    for rival in ("torch FlopCounterMode", "fvcore FlopCountAnalysis"):
        if rival in rates:
            figures[f"statistics_vs_{rival.split()[0]}"] = ours / rates[rival]
    harness.report(figures, rows, options.json)


if __name__ == "__main__":
    main()
