import pytest

import narsfast as nf


def test_a_curve_alone_makes_a_trial():
    assert nf.Trial("c", (10.0, 20.0), "ok", 2, 1.0).metrics == nf.EpochMetrics()


def test_metrics_have_as_many_epochs_as_the_curve():
    metrics = nf.EpochMetrics(training_loss=(2.0, None), ema_accuracy=(10.0, 20.0))
    assert nf.Trial("c", (10.0, 20.0), "ok", 2, 1.0, metrics=metrics).metrics == metrics
    for metric in ("training_loss", "cross_entropy", "raw_accuracy", "ema_accuracy"):
        with pytest.raises(ValueError, match=f"{metric} has 1 epochs and the curve 2"):
            nf.Trial("c", (10.0, 20.0), "ok", 2, 1.0, metrics=nf.EpochMetrics(**{metric: (1.0,)}))
