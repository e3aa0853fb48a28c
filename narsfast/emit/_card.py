"""The model card: a README.md from which anybody can use and judge the network."""

from __future__ import annotations

from collections.abc import Mapping

from narsfast.arch import Definition, NetworkSpec, blocks_of, head_of, reference_file
from narsfast.common.modules import siblings
from narsfast.cost import LATENCY
from narsfast.space import Recipe

from ._class_card import class_section
from ._contact_sheet import SHEET_FILE
from ._facts import GIVEN, DataFacts, Measurements
from ._load import CODE_FOLDER, MODEL_FILE
from ._markdown import as_code, as_text, table
from ._notation import block_notation, notation_text
from ._onnx import OnnxCheck
from ._parent_card import kept_paragraph, parent_paragraph
from ._transform import PREPROCESS_FILE

STATISTIC_TEXTS = {
    "macs": ("multiply-adds", "convolutions and linear layers, one image"),
    "flops_published": ("FLOPs, published convention", "multiply-adds and elements read by average pools"),
    "params": ("parameters", "all, without a bias in the stem"),
    "params_published": (
        "parameters, published convention",
        "weights of convolutions and linear layers only",
    ),
    "activations": ("activations", "elements of the outputs of all convolutions, one image"),
    "peak_memory": (
        "peak activation memory, bytes",
        "float32, one image; largest input + output + held residual of one convolution",
    ),
    "latency": ("latency, ms", "sum of a table of blocks timed on the machine of the search"),
    "depth": ("depth", "convolutions, squeeze-excite included"),
}


_TIMM = "\nThe same as arguments of timm's training script: [timm_args.yaml](timm_args.yaml).\n"


def _percent(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f} %"


def _accuracies(found: Measurements, data: DataFacts) -> str:
    images = data.images
    balanced = None if found.by_class is None else found.by_class.balanced_accuracy
    by_class = [
        ("test, balanced", _percent(balanced), "mean of the accuracies of the classes, on these images")
    ]
    return table(
        ("accuracy (top-1)", "value", "what it is"),
        [
            (
                "predicted",
                _percent(found.predicted),
                "by the search's predictor, for a training stopped at the early-stop epoch",
            ),
            (
                "validation",
                _percent(found.validation),
                f"{images.get('val', 0)} images; the search selected by them",
            ),
            (
                "test",
                _percent(found.test),
                f"{images.get('test', 0)} images; used once, after the search",
            ),
            *(by_class if balanced is not None else ()),
            ("chance", _percent(data.chance), "share of the largest class of the validation split"),
        ],
    )


def _onnx_text(check: OnnxCheck) -> str:
    if check.status in ("skipped", "failed"):
        return f"There is no model.onnx: {as_text(check.reason)}."
    if check.status == "unchecked":
        return f"model.onnx has not been compared with torch: {as_text(check.reason)}."
    verdict = (
        f"model.onnx gives the same top-1 class as torch on all {check.images} test images"
        if check.status == "equal"
        else f"**model.onnx gives another top-1 class than torch on {check.images - check.same_top1} of "
        f"{check.images} test images**"
    )
    return f"{verdict} (largest difference of a logit: {check.max_abs_difference:.2g}; onnxruntime, CPU)."


def _loading(resolution: int, data: DataFacts, check: OnnxCheck, runs_code: bool) -> str:
    trust = ", run_code=True" if runs_code else ""
    code = ", built by the Python code of the folder" if runs_code else ""
    onnx = (
        ""
        if check.status in ("skipped", "failed")
        else "\nWithout torch and narsfast: [preprocess.py](preprocess.py) reads images by numpy and Pillow alone "
        '(`preprocess.load()("photo.jpg")`), '
        "and `onnxruntime.InferenceSession('model.onnx')`, input `images` "
        f"(batch, {data.in_chans}, {resolution}, {resolution}) float32, "
        f"output `logits` (batch, classes), opset {check.opset}; its metadata hold `classes` and `preprocessing` as "
        "JSON.\n"
    )
    return f"""```python
import narsfast
import torch
from narsfast.emit import load_transform

network = narsfast.load("this/folder"{trust})  # torch.nn.Module, eval mode{code}
transform = load_transform("this/folder")  # preprocessing.json as a function
images = transform("photo.jpg").unsqueeze(0)  # a file, its bytes, or what PIL.Image.open returns
with torch.inference_mode():
    percent = 100 * network(images).softmax(1)
```
{onnx}"""


def _preprocessing(resolution: int, data: DataFacts) -> str:
    def numbers(values: tuple[float, ...]) -> str:
        return ", ".join(f"{value:.6g}" for value in values)

    return (
        f"{'Gray' if data.in_chans == 1 else 'RGB'} image{_reading(data)}; "
        f"the centered square of {100 * data.crop:g} % of the shorter side, "
        f"resized to {resolution} x {resolution} pixels (antialiased {data.interpolation}), which is nearly a resize of "
        f"the shorter side to {data.resize(resolution)} and a center crop; values 0 to 1, minus mean "
        f"({numbers(data.mean)}), divided by standard deviation ({numbers(data.std)})."
    )


def _reading(data: DataFacts) -> str:
    """Say how files become pixels, as far as they do it another way than Pillow."""
    reading = data.reading
    parts = [
        "turned as its EXIF data says" if reading.orient else "",
        ""
        if reading.bit_depth is None
        else f"gray values of more than 8 bits read as {reading.bit_depth} bits",
        ""
        if reading.short_side is None
        else f"shrunk to a shorter side of {reading.short_side} pixels where larger",
    ]
    return "".join(f", {part}" for part in parts if part)


def _statistics(statistics: Mapping[str, int | float]) -> str:
    names = [name for name in STATISTIC_TEXTS if name in statistics]
    names += [name for name in statistics if name not in STATISTIC_TEXTS]
    rows = [
        (
            *STATISTIC_TEXTS.get(name, (as_text(name), "")),
            f"{statistics[name]:,.6g}" if name == LATENCY else f"{statistics[name]:,}",
        )
        for name in names
    ]
    return table(("statistic", "value", "counted"), [(name, value, how) for name, how, value in rows])


def _distillation(found: Measurements) -> str:
    if found.distillation is None:
        return ""
    teacher = found.distillation
    own = (
        f" (candidate `{teacher['candidate']}`, the run's largest network)" if "candidate" in teacher else ""
    )
    if "resolution" in teacher:
        own = (
            f" (the pretrained network as it is, fine-tuned for {teacher['epochs']} epochs at {teacher['resolution']} "
            f"pixels: {_percent(teacher['validation'])} on the validation split)"
        )
    return (
        f" Distilled from {as_code(teacher['teacher'])}{own}: the loss is {1 - teacher['weight']:g} times that of the "
        f"labels plus {teacher['weight']:g} times the divergence from the teacher, at temperature "
        f"{teacher['temperature']:g}."
    )


def _passed_over(found: Measurements) -> str:
    if not found.passed_over:
        return ""
    rows = [
        f"- {as_code(row['candidate'])}, predicted {row['predicted']:.2f} %: "
        f"{as_text(row['outcome'].replace('_', ' '))}"
        + (f" ({as_text(row['message'])})" if row["message"] else "")
        for row in found.passed_over
    ]
    return "\n".join(
        ["Candidates that were predicted better and whose full training did not end well:", "", *rows, "", ""]
    )


def _origin(found: Measurements, given: NetworkSpec | None) -> str:
    if found.origin is not None:
        return f"""fine-tuned by narsfast from the network
{as_code(found.origin.name)} (candidate {as_code(found.origin.candidate)}), which was trained on
{as_text(found.origin.data)} with {len(found.origin.classes)} classes."""
    if found.budget == GIVEN:
        return "trained by narsfast with a given recipe."
    if given is not None:
        return f"""the network {as_code(given.name)} with the training recipe that
narsfast found for it, by a search over recipes after FBNetV3
(CVPR 2021, where architectures are searched jointly)."""
    return f"""found together with its training recipe by
narsfast, by a joint search over architectures and recipes after FBNetV3
(CVPR 2021), within the budget **{found.budget}**."""


def _architecture(definition: Definition | None, given: NetworkSpec | None) -> str:
    if definition is None:
        assert given is not None
        side = given.resolution
        return f"{as_code(given.name)}, input {side} x {side}. emission.json holds the reference."
    side = definition.resolution
    same = all(block.act == definition.act for block in blocks_of(definition))
    act = definition.act.replace("_", "-") + (" throughout" if same else " unless stated")
    of = "hidden channels" if str(definition.se_width).startswith("hidden") else "block's input"
    return f"""Input {side} x {side}, stem of {definition.stem_channels} channels, head of
{head_of(definition).classified} features. Stages in timm's block notation (repeats, kernel, stride, expansion,
channels, squeeze-excite of the {of}), {act}:

```
{notation_text(block_notation(definition))}
```"""


def _training(found: Measurements) -> str:
    duration = f", {found.seconds:,.0f} s" if found.seconds is not None else ""
    step = f" (the optimizer's step by {found.optim_backend})" if found.optim_backend is not None else ""
    start = "Trained from scratch"
    if found.origin is not None:
        name = as_code(found.origin.name)
        start = f"Trained from the weights of {name}, all but those of the classifier, which was new,"
    elif found.parent is not None:
        classifier = "its tuned" if "tuned" in found.parent else "a new"
        start = f"Trained from weights of {as_code(found.parent['name'])}, with {classifier} classifier,"
    return f"{start} for {found.epochs} epochs with seed {found.seed}{duration}{step}.{_distillation(found)}"


def _files(
    definition: Definition | None, given: NetworkSpec | None, *, onnx_written: bool, sheet: bool
) -> str:
    rows = [
        ("recipe.json", "the recipe"),
        ("weights.safetensors", "trained weights (the averaged ones if the recipe keeps an average)"),
        ("model.onnx", "the network with its weights for other runtimes" if onnx_written else "absent"),
        (PREPROCESS_FILE, "the reader of images as it trained the network; needs numpy and Pillow"),
        ("preprocessing.json", "class names, mean, standard deviation, resolution, resize"),
        ("emission.json", "budget, statistics, accuracies, versions, checksums"),
    ]
    if definition is not None:
        rows.insert(0, ("definition.json", "the architecture"))
        rows.append(
            (
                "timm_args.yaml, timm_model.py",
                "to use it as a model of timm, and to train it with timm's script",
            )
        )
    elif given is not None and (file := reference_file(given.name)) is not None:
        name = f"{CODE_FOLDER}/" if siblings(file) else MODEL_FILE
        rows.insert(0, (name, "Python code that builds the network"))
    if sheet:
        rows.append(
            (SHEET_FILE, "images of the test split with a wrong answer; the folder is whole without it")
        )
    return table(("file", "what"), rows)


def model_card(
    title: str,
    definition: Definition | None,
    recipe: Recipe,
    *,
    data: DataFacts,
    found: Measurements,
    onnx: OnnxCheck,
    given: NetworkSpec | None = None,
    sheet: bool = False,
) -> str:
    """Write the model card as Markdown.

    Args:
        title: The heading.
        definition: The architecture; None if the network is not a narsfast network.
        recipe: The recipe with which it was trained.
        data: The data on which it was trained.
        found: Budget, statistics and accuracies.
        onnx: The comparison of the ONNX file with torch.
        given: The network, if only its recipe was searched.
        sheet: Whether there is a picture of confused images.

    Returns:
        The text of README.md.
    """
    classes = ", ".join(map(as_text, data.classes[:20])) + (
        f", ... ({len(data.classes)} in all)" if len(data.classes) > 20 else ""
    )
    counts = ", ".join(f"{count} {split}" for split, count in data.images.items())
    described = definition or given
    assert described is not None
    resolution = described.resolution
    onnx_written = onnx.status not in ("skipped", "failed")
    recipe_rows = [(name, as_text(value)) for name, value in recipe.model_dump(mode="json").items()]
    return f"""# {as_text(title)}

An image classifier for {len(data.classes)} classes, {_origin(found, given)}

{parent_paragraph(found)}{_passed_over(found)}{_accuracies(found, data)}

{_statistics(found.statistics)}

## How to load

{_loading(resolution, data, onnx, given is not None and reference_file(given.name) is not None)}
{_onnx_text(onnx)}

## Preprocessing

{_preprocessing(resolution, data)}

## Data

The data is {as_text(data.name)}: {counts or "sizes not recorded"}. Classes in the order of the logits: {classes}.

{class_section(found.by_class, sheet)}## Recipe

{_training(found)}

{table(("field", "value"), recipe_rows)}
{_TIMM if definition else ""}
## Architecture

{_architecture(definition, given)}{kept_paragraph(found)}

## Limits

- The network knows only the classes above; every image gets one of them.
- Validation accuracy flatters, because the search chose by that split; the test accuracy is the one to quote.
- Accuracy on images of another origin, under corruption or between groups of people was not measured.
- The statistics are counted, but for a latency: networks of equal cost may differ in latency on a device.

## Files

{_files(definition, given, onnx_written=onnx_written, sheet=sheet)}

Candidate `{found.candidate}`.
"""
