"""The first page quotes what the result files hold."""

import json

import pytest

from bench.render_docs import DOCS, RESULTS

TEXT = " ".join((DOCS.parent / "README.md").read_text().split())
QUOTED = [
    ("predictor_quality", "accel_tau_50", "Kendall's tau {:.3f},"),
    ("predictor_quality", "accel_tau_100", " {:.3f},"),
    ("predictor_quality", "accel_tau_200", " {:.3f} and"),
    ("predictor_quality", "accel_tau_500", "and {:.3f} after 50, 100, 200 and 500"),
    (
        "search_speed",
        "candidates_per_s_vs_torch_p100",
        "{:.1f} times as many candidates a second at a population of 100",
    ),
    ("search_speed", "candidates_per_s_vs_torch_p1000", "{:.1f} times at 1,000"),
    ("search_speed", "family_seconds", "children took {:.1f} s on two cores"),
    ("baselines", "mobilenet_v3_small_found_macs", "| found | {:,.0f} | 76"),
    ("baselines", "mobilenet_v3_small_baseline_test", "77.91 | {:.2f} | | | found |"),
    ("baselines", "mobilenet_v3_small_found_validation", "| {:.2f} | 73.03"),
    ("baselines", "mobilenet_v3_small_found_test", "| {:.2f} | 3.40"),
    ("baselines", "mobilenet_v3_small_gap", "| {:.2f} +- 3.11 |"),
    ("baselines", "mobilenet_v3_small_gap_error", "3.40 +- {:.2f} |"),
    ("baselines", "mobilenet_v3_large_baseline_test", "77.91 | {:.2f} | | | found | 16"),
    ("baselines", "mobilenet_v3_large_found_macs", "| found | {:,.0f} | 79"),
    ("baselines", "mobilenet_v3_large_found_validation", "| {:.2f} | 75.18"),
    ("baselines", "mobilenet_v3_large_found_test", "| {:.2f} | -0.72"),
    ("baselines", "mobilenet_v3_large_gap", "| {:.2f} +- 2.44 |"),
    ("baselines", "mobilenet_v3_large_gap_error", "-0.72 +- {:.2f} |"),
    ("baselines", "predictor_tau", "Kendall tau is {:.2f};"),
    ("baselines", "ridge_tau", "ridge regression {:.2f}, multiply-adds"),
    ("baselines", "macs_tau", "multiply-adds alone {:.2f})"),
    ("ops_accuracy", "test_gap", "{:.2f} +- 0.51 points in test"),
    ("ops_accuracy", "test_gap_error", "+- {:.2f} points in test"),
    ("ops_accuracy", "validation_gap", "{:.2f} +- 0.42 in validation"),
    ("ops_accuracy", "validation_gap_error", "+- {:.2f} in validation"),
    ("ops_accuracy", "loss_gap", "{:.3f} +- 0.004 in training loss"),
    ("ops_accuracy", "loss_gap_error", "+- {:.3f} in training loss"),
    ("search_optimum", "optimum_tiny", "in at least {:.0f} of 100 seeds"),
    ("train_step", "train_step_64_vs_best", "| {:.2f} | | 128 px"),
    ("train_step", "train_step_128_vs_best", "| {:.2f} | The memory of a step"),
    ("train_step", "peak_memory_vs_eager", "is {:.2f} of eager's"),
    ("depthwise_se", "eval_forward_vs_best", "{:.2f} in evaluation"),
    ("depthwise_se", "train_forward_vs_best", "{:.2f} forward and"),
    ("depthwise_se", "train_backward_vs_best", "{:.2f} backward in training"),
    ("depthwise_se", "worst_layer_vs_best", "worst layer is at {:.2f}"),
    ("depthwise_se", "eval_forward_roofline", "reach {:.2f} of what"),
]


@pytest.mark.parametrize(("result", "figure", "sentence"), QUOTED)
def test_its_numbers_are_those_of_the_results(result, figure, sentence):
    found = json.loads((RESULTS / f"{result}.json").read_text())["figures"][figure]
    assert sentence.format(found) in TEXT
