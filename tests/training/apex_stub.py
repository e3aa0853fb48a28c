"""Packages named apex, as they lie in site-packages: NVIDIA's in outline, and the other project of that name."""

FUSED = '''
import torch

calls = []


class _Fused(torch.optim.Optimizer):
    """Records its arguments; a step takes the learning rate times the sign of the gradient."""

    def __init__(self, params, lr, **options):
        super().__init__(params, {"lr": lr, "weight_decay": 0.0})
        calls.append((type(self).__name__, lr, options))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.sub_(group["lr"] * weight.grad.sign())


class FusedSGD(_Fused):
    pass


class FusedAdam(_Fused):
    pass


class FusedLAMB(_Fused):
    pass
'''
NAMESAKE = "raise AssertionError('another project is not run')\n"


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def nvidias(folder):
    write(folder, {"apex/__init__.py": "", "apex/optimizers/__init__.py": FUSED, "amp_C.py": ""})
