"""The training loop, and the figures of an evaluation."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from fervid.emotions.architecture import Architecture
from fervid.emotions.classifier import load_classifier, softmax
from fervid.emotions.keras_io import load_network
from fervid.emotions.keras_network import KerasNetwork
from fervid.emotions.sidecar import SHIPPED, read_sidecar
from fervid.errors import BadDataset, BadWeights, ConfigError, OutputLocked
from fervid.faces.crop import FER2013_GEOMETRY
from fervid.files.locks import locked
from fervid.settings_io import from_mapping, to_mapping
from fervid.training import train as training
from fervid.training.batches import Epoch
from fervid.training.class_prior import ClassShares, adjust
from fervid.training.dataset import Dataset, split
from fervid.training.distillation import soft_targets
from fervid.training.evaluate import (
    bootstrap,
    brier_score,
    class_scores,
    confusion_matrix,
    evaluate,
    fit_temperature,
    held_out,
    negative_log_likelihood,
    predict,
    reliability,
    summary_scores,
)
from fervid.training.evaluation_report import format_evaluation, write_evaluation
from fervid.training.last_layer import regression
from fervid.training.recipe import TrainSettings
from fervid.training.sharpness import sharpness_aware
from fervid.training.train import TrainResult, train
from fervid.types import EMOTIONS, ByteArray, Progress
from tests.support.command import command
from tests.support.paths import ROOT

TINY = TrainSettings(
    epochs=2,
    batch_size=16,
    warmup=1,
    learning_rate=0.01,
    ema=0.5,
    holdout=0.3,
    mixed_precision=False,
    architecture=Architecture(widths=(4, 8), pairs=(1,), dropout=0.1),
)


TRAINED = replace(TINY, epochs=3, select="last", balance="sampler", teachers=(str(SHIPPED),), distill=0.25)
"""The recipe of the network that most tests share."""


@dataclass(frozen=True)
class Run:
    """A finished run: its weights ``m.keras`` with their sidecar, its run folder ``m``, and what it gave back.

    ``interrupted``: the folder as it was before the last epoch. ``traced``: how often Python ran the training step.
    """

    folder: Path
    result: TrainResult
    interrupted: Path
    traced: int

    @property
    def weights(self) -> Path:
        return self.folder / "m.keras"

    def copy(self, folder: Path) -> Path:
        """The weights of a copy of the run that a test may change."""
        return Path(shutil.copytree(self.folder, folder / "run")) / "m.keras"


@pytest.fixture(scope="module")
def trained(faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder, interrupted = tmp_path_factory.mktemp("trained"), tmp_path_factory.mktemp("interrupted") / "run"
    train_step, traced = keras.Model.train_step, 0

    def counting(self: Any, data: Any) -> Any:
        nonlocal traced
        traced += 1
        return train_step(self, data)

    def keep_before_the_last_epoch(progress: Progress) -> None:
        if progress.message and progress.done * TRAINED.epochs == (progress.total or 0) * (TRAINED.epochs - 1):
            shutil.copytree(folder, interrupted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Model, "train_step", counting)
        weights, on_progress = folder / "m.keras", keep_before_the_last_epoch
        result = train(faces, weights, FER2013_GEOMETRY, TRAINED, on_progress=on_progress)
    return Run(folder, result, interrupted, traced)


def test_training_writes_weights_sidecar_and_run_folder(faces: Dataset, trained: Run) -> None:
    model = load_classifier(trained.weights)
    assert model.sidecar.geometry == FER2013_GEOMETRY
    assert model.sidecar.temperature == pytest.approx(trained.result.temperature)
    assert model.sidecar.training["epoch"] == trained.result.epoch == 3
    assert model.sidecar.training["images"] == len(faces)
    with (trained.folder / "m" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert (trained.folder / "m" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((trained.folder / "m" / "settings.json").read_text())["epochs"] == 3
    assert not list(trained.folder.rglob("*.tmp"))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="another backend makes no graph")
def test_the_training_step_is_traced_once(trained: Run) -> None:
    assert trained.traced == 1


def assert_same_training(one: TrainResult, other: TrainResult) -> None:
    for first, second in zip(one.history, other.history, strict=True):
        assert first["loss"] == pytest.approx(second["loss"], rel=1e-4)
        assert first["nll"] == pytest.approx(second["nll"], rel=1e-3)


def assert_same_logits(weights: Path, others: Path, images: ByteArray) -> None:
    logits = [load_classifier(path).logits(images) for path in (weights, others)]
    np.testing.assert_allclose(logits[0], logits[1], atol=0.02)


def test_a_sharpness_aware_step_goes_down_from_where_the_loss_is_higher() -> None:
    crop = keras.Input((1,))
    network = sharpness_aware(0.5)(crop, keras.layers.Dense(1, use_bias=False)(crop))
    network.compile(keras.optimizers.SGD(0.1), "mse")
    network.set_weights([np.array([[1.0]])])
    loss = network.train_on_batch(np.array([[1.0]]), np.array([[0.0]]), return_dict=True)["loss"]
    assert loss == pytest.approx(1)  # the square of the weight
    assert network.get_weights()[0].item() == pytest.approx(1 - 0.1 * 2 * 1.5)  # the slope where the weight is 1.5


def test_going_on_from_a_checkpoint_equals_never_having_stopped(faces: Dataset, trained: Run) -> None:
    weights = trained.interrupted / "m.keras"
    assert not weights.exists()
    assert len((trained.interrupted / "m" / "metrics.csv").read_text().splitlines()) == TRAINED.epochs
    resumed = train(faces, weights, FER2013_GEOMETRY, TRAINED)
    assert_same_training(resumed, trained.result)
    assert_same_logits(weights, trained.weights, faces.images)


@pytest.mark.slow
def test_a_run_that_was_interrupted_goes_on(faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(TINY, epochs=3, balance="weights", votes=0.0, optimizer="sgd")
    straight = train(faces, tmp_path / "a.keras", FER2013_GEOMETRY, settings)
    run_epoch = training._run_epoch

    def stop_before_the_last(network: Any, averaged: Any, batches: Epoch, *others: Any) -> object:
        if batches.number == 2:
            raise KeyboardInterrupt
        return run_epoch(network, averaged, batches, *others)

    monkeypatch.setattr(training, "_run_epoch", stop_before_the_last)
    with pytest.raises(KeyboardInterrupt):
        train(faces, tmp_path / "b.keras", FER2013_GEOMETRY, settings)
    monkeypatch.undo()
    assert_same_training(train(faces, tmp_path / "b.keras", FER2013_GEOMETRY, settings), straight)
    assert_same_logits(tmp_path / "b.keras", tmp_path / "a.keras", faces.images)


def test_a_run_folder_belongs_to_one_recipe(faces: Dataset, trained: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="other settings"):
        train(faces, trained.copy(tmp_path), FER2013_GEOMETRY, replace(TRAINED, epochs=4))


def test_a_run_goes_on_with_its_own_data_only(faces: Dataset, trained: Run, tmp_path: Path) -> None:
    other = faces.take(np.arange(len(faces))[::-1])
    with pytest.raises(ConfigError, match="other settings or data"):
        train(other, trained.copy(tmp_path), FER2013_GEOMETRY, TRAINED)


def test_a_run_that_was_killed_after_its_last_checkpoint_has_all_metrics(
    faces: Dataset, trained: Run, tmp_path: Path
) -> None:
    """It had neither written the metrics and weights nor removed its locks and unfinished files."""
    weights = trained.copy(tmp_path)
    run = weights.with_suffix("")
    metrics = (run / "metrics.csv").read_text()
    (run / "metrics.csv").write_text("".join(metrics.splitlines(keepends=True)[:-1]))
    for left in ("curves.01234567.partial.png", "metrics.01234567.partial.csv", "best.01234567.partial.keras"):
        (run / f".{left}").touch()
    for left in ("m.keras", "m.onnx", "m.json", "m/curves.png"):
        (weights.parent / left).unlink()
    for left in ("m.01234567.partial.keras", "m.fervid-train.lock", "m/.fervid-train.lock"):
        (weights.parent / left.replace("m.", ".m.", 1)).touch()
    again = train(faces, weights, FER2013_GEOMETRY, TRAINED)
    assert again.history == trained.result.history
    assert (run / "metrics.csv").read_text() == metrics
    assert_same_logits(weights, trained.weights, faces.images)
    assert files_below(weights.parent) == files_below(trained.folder)


def files_below(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*"))


@pytest.mark.parametrize("lock", [".m.fervid-train.lock", "m/.fervid-train.lock"])
def test_a_run_folder_and_weights_take_one_training_at_a_time(
    lock: str, faces: Dataset, trained: Run, tmp_path: Path
) -> None:
    weights = trained.copy(tmp_path)
    before = files_below(weights.parent)
    with locked(weights.parent / lock), pytest.raises(OutputLocked, match="another run is writing"):
        train(faces, weights, FER2013_GEOMETRY, TRAINED)
    assert files_below(weights.parent) == sorted([*before, Path(lock)])


def test_half_of_a_settings_file_cannot_lie_in_a_run_folder(
    faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run killed while it makes its folder is taken up by the next one."""
    monkeypatch.setattr(Path, "replace", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(faces, tmp_path / "m.keras", FER2013_GEOMETRY, TINY)
    assert files_below(tmp_path) == [Path("m")]


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_damaged_checkpoint_is_named(faces: Dataset, trained: Run, tmp_path: Path) -> None:
    weights = trained.copy(tmp_path)
    checkpoint = weights.with_suffix("") / "checkpoint.npz"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(ConfigError, match="damaged"):
        train(faces, weights, FER2013_GEOMETRY, TRAINED)


@pytest.mark.parametrize(
    "bad",
    [
        {"votes": float("nan")},
        {"label_smoothing": 7.0},
        {"holdout": 0.0},
        {"crop": 50},
        {"refit": -1.0},
        {"sharpness": -0.1},
        {"seed": -1},
        {"seed": 2**32},
    ],
)
def test_nonsense_recipes_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        TrainSettings(**bad)


@pytest.mark.parametrize("settings", [5, {}, {"holdout": "much", "seed": 0}, {"holdout": 0.1, "seed": None}])
def test_a_sidecar_that_does_not_say_what_was_held_out(settings: Any, faces: Dataset) -> None:
    sidecar = replace(read_sidecar(SHIPPED), training={"settings": settings})
    with pytest.raises(BadWeights, match="held out"):
        held_out(sidecar, faces)


def test_a_missing_class_is_named(faces: Dataset, tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="disgust"):
        train(faces.take(faces.labels != 1), tmp_path / "m.keras", FER2013_GEOMETRY, TINY)
    assert list(tmp_path.iterdir()) == []


def test_too_few_images_to_hold_out_are_refused(faces: Dataset, tmp_path: Path) -> None:
    settings = TrainSettings(**{**vars(TINY), "holdout": 0.01})
    with pytest.raises(BadDataset, match="raise holdout"):
        train(faces, tmp_path / "m.keras", FER2013_GEOMETRY, settings)
    assert list(tmp_path.iterdir()) == []


def _eager_command(folder: Path) -> Path:
    """A folder with a ``fervid`` that computes step by step: TensorFlow takes half a minute to make a graph of the
    network, which pays after some hundred batches."""
    folder.mkdir()
    command = folder / "fervid"
    command.write_text(
        f"#!{sys.executable}\nimport tensorflow\ntensorflow.config.run_functions_eagerly(True)\n"
        "from fervid.cli.main import main\nmain()\n"
    )
    command.chmod(0o755)
    return folder


@pytest.mark.slow
def test_an_epoch_of_each_run_that_the_shipped_weights_take(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx, which reads SFace's weights, is not installed")
    script = ROOT / "jobs" / "train-fer2013.sh"
    folders = [_eager_command(tmp_path / "bin"), Path(sys.executable).parent, os.environ["PATH"]]
    environment = os.environ | {"PATH": ":".join(map(str, folders))}
    line: list[str | Path] = [script, shared_data, tmp_path / "runs", "--epochs", "1", "--limit", "130"]
    line.append("--no-mixed-precision")  # without bfloat16 of its own a processor is slower with it
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    trained = load_classifier(tmp_path / "runs" / "shipped.keras").sidecar
    assert trained.architecture == read_sidecar(SHIPPED).architecture
    recipes = [from_mapping(TrainSettings, one.training["settings"]) for one in (trained, read_sidecar(SHIPPED))]
    assert recipes[0] == replace(recipes[1], epochs=1, mixed_precision=False)
    assert len(trained.training["teachers_sha256"]) == len(trained.training["settings"]["teachers"])
    assert (tmp_path / "runs" / "shipped.keras").stat().st_size < 4_000_000


def test_scores_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 0, 1, 1, 2, 2])
    confusion = confusion_matrix(labels, predicted)
    assert confusion[:3, :3].tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    scores = class_scores(confusion)
    np.testing.assert_allclose(scores["precision"][:3], [1, 1 / 2, 1 / 2])
    np.testing.assert_allclose(scores["recall"][:3], [2 / 3, 1 / 2, 1])
    np.testing.assert_allclose(scores["f1"][:3], [4 / 5, 1 / 2, 2 / 3])
    summary = summary_scores(confusion)
    assert summary["accuracy"] == pytest.approx(4 / 6)
    assert summary["macro_f1"] == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert summary["weighted_f1"] == pytest.approx((3 * 4 / 5 + 2 * 1 / 2 + 2 / 3) / 6)


def test_probability_scores_by_hand() -> None:
    probabilities = np.zeros((2, 7))
    probabilities[0, 0], probabilities[0, 1] = 0.8, 0.2
    probabilities[1, 2], probabilities[1, 3] = 0.6, 0.4
    labels = np.array([0, 3])
    assert negative_log_likelihood(probabilities, labels) == pytest.approx(-(np.log(0.8) + np.log(0.4)) / 2)
    assert brier_score(probabilities, labels) == pytest.approx((0.2**2 + 0.2**2 + 0.6**2 + 0.6**2) / 2)
    assert reliability(probabilities, labels).ece == pytest.approx((0.2 + 0.6) / 2)


def test_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (4000, 7)).astype(np.float32)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(7, p=row / row.sum()) for row in chances])
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.08)


def test_bootstrap_surrounds_the_figure() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, 700)
    predicted = np.where(rng.random(700) < 0.7, labels, rng.integers(0, 7, 700))
    low, high = bootstrap(labels, predicted, rounds=300)["accuracy"]
    assert low < (labels == predicted).mean() < high
    assert 0.03 < high - low < 0.12


def test_evaluation_is_told_in_full(faces: Dataset, tmp_path: Path) -> None:
    evaluation = evaluate(load_classifier(), faces)
    values = json.loads(format_evaluation(evaluation, as_json=True))
    expected = {"n", "accuracy", "macro_f1", "weighted_f1", "per_class", "nll", "brier", "ece", "ece_uncalibrated"}
    assert values.keys() >= expected | {"flip_averaged", "accuracy_95"}
    assert values["per_class"].keys() == set(EMOTIONS)
    assert values["per_class"]["happy"].keys() == {"precision", "recall", "f1", "support"}
    assert values["n"] == len(faces)
    assert "flip-averaged" in format_evaluation(evaluation)
    write_evaluation(evaluation, tmp_path / "e")
    with (tmp_path / "e" / "confusion.csv").open() as file:
        rows = list(csv.reader(file))
    assert sum(int(cell) for row in rows[1:] for cell in row[1:]) == len(faces)
    for name in ("confusion.png", "reliability.png"):
        assert (tmp_path / "e" / name).read_bytes().startswith(b"\x89PNG")


RECIPE = """
epochs = 9
holdout = 0.2
batch-size = 16
learning-rate = 0.02
ema = 0.5
[architecture]
widths = [4, 8]
pairs = [1]
[augment]
degrade = 0
erase = 0
mixup = 0
"""


@dataclass(frozen=True)
class Commanded:
    """What ``fervid train`` said in a run of 5 epochs and when it was called again, its data and its weights."""

    said: tuple[str, str]
    data: Path
    weights: Path


@pytest.fixture(scope="module")
def commanded(faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Commanded:
    folder = tmp_path_factory.mktemp("commanded")
    lines = ["emotion,pixels,Usage"]
    lines += [f"{y},{' '.join(map(str, x.ravel()))},Training" for x, y in zip(faces.images, faces.labels, strict=True)]
    data, recipe, out = folder / "fer2013.csv", folder / "r.toml", folder / "m.keras"
    data.write_text("\n".join(lines))
    recipe.write_text(RECIPE)
    words = f"train --data {data} --recipe {recipe} --out {out} --epochs 5 --balance weights --no-mixed-precision"
    runs = [command(*words.split()) for _ in range(2)]
    assert [done.returncode for done in runs] == [0, 0], runs
    return Commanded((runs[0].stderr, runs[1].stderr), data, out)


@pytest.mark.slow
def test_the_command_trains_from_a_recipe_and_goes_on(commanded: Commanded) -> None:
    for expected, said in zip(("epochs done: 0", "epochs done: 5"), commanded.said, strict=True):
        assert expected in said
        assert "oneDNN" not in said
    settings = json.loads((commanded.weights.with_suffix("") / "settings.json").read_text())
    assert (settings["epochs"], settings["balance"], settings["batch_size"]) == (5, "weights", 16)


def test_training_learns_and_keeps_the_first_of_the_best_epochs(commanded: Commanded) -> None:
    with (commanded.weights.with_suffix("") / "metrics.csv").open() as file:
        history = list(csv.DictReader(file))
    assert float(history[-1]["loss"]) < 0.75 * float(history[0]["loss"])
    accuracies = [float(row["accuracy"]) for row in history]
    assert max(accuracies) > 0.5
    kept = load_classifier(commanded.weights).sidecar.training["epoch"]
    assert kept == 1 + accuracies.index(max(accuracies))


def test_the_command_evaluates_all_images_or_those_held_out(faces: Dataset, commanded: Commanded) -> None:
    data, out = commanded.data, commanded.weights
    done = command(*f"evaluate --data {data} --split all --json --model {out}".split())
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["n"] == len(faces)
    done = command(*f"evaluate --data {data} --split held-out --json --model {out}".split())
    assert json.loads(done.stdout)["n"] == len(split(faces, 0.2, 0)[1]) < len(faces)
    done = command(*f"evaluate --data {data} --split held-out".split())
    assert (done.returncode, done.stdout) == (2, "")
    assert "trained with other images: 26802, here are" in done.stderr


def test_what_was_held_out_is_found_again(faces: Dataset, trained: Run) -> None:
    model = load_classifier(trained.weights)
    sidecar = model.sidecar
    found = held_out(sidecar, faces)
    assert len(found) == sum(round(TRAINED.holdout * count) for count in faces.counts())
    accuracy = evaluate(model, found).single.scores["accuracy"]
    assert accuracy == pytest.approx(trained.result.history[-1]["accuracy"], abs=1.01 / len(found))
    with pytest.raises(BadDataset, match="other images"):
        held_out(sidecar, faces.take(np.arange(len(faces)) > 0))
    with pytest.raises(BadWeights, match="held out"):
        held_out(replace(sidecar, training={}), faces)


# the last layer


@pytest.mark.slow
def test_the_last_layer_is_fitted_to_the_classes_as_frequent_as_they_are(faces: Dataset, tmp_path: Path) -> None:
    recipe = replace(TINY, balance="sampler", refit=0.001, votes=0.0)
    train(faces, tmp_path / "plain.keras", FER2013_GEOMETRY, replace(recipe, refit=0.0))
    train(faces, tmp_path / "m.keras", FER2013_GEOMETRY, recipe)
    plain, fitted = load_network(tmp_path / "plain.keras")[1], load_network(tmp_path / "m.keras")[1]
    changed = {layer.name for layer in plain.layers if layer.weights and _differs(layer, fitted.get_layer(layer.name))}
    assert changed == {"emotion"}
    rest = split(faces, recipe.holdout, recipe.seed)[0]
    both = np.concatenate([rest.images, rest.images[:, :, ::-1]])
    losses = [
        negative_log_likelihood(softmax(predict(KerasNetwork(network), both)), np.tile(rest.labels, 2))
        for network in (plain, fitted)
    ]
    assert losses[1] < losses[0] - 0.01


def _differs(one: Any, other: Any) -> bool:
    return any((a != b).any() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_the_regression_finds_the_frequencies_where_features_say_nothing() -> None:
    labels = np.repeat(np.arange(7), [1, 2, 3, 4, 5, 6, 7])
    kernel, bias = regression(np.zeros((28, 3)), labels, np.ones((3, 7)), np.zeros(7), 0.1)
    found = softmax(bias[None])[0]
    assert found.tolist() == pytest.approx([n / 28 for n in range(1, 8)], abs=1e-3)
    np.testing.assert_allclose(kernel, 1, atol=1e-3)


def test_a_class_taken_to_be_rarer_loses_that_much_of_its_odds(faces: Dataset, trained: Run) -> None:
    _, network = load_network(trained.weights)
    before = softmax(predict(KerasNetwork(network), faces.images))
    adjust(network, ClassShares(fear=0.8, neutral=2.0))
    after = softmax(predict(KerasNetwork(network), faces.images))
    wanted = before * [1, 1, 0.8, 1, 1, 1, 2]
    np.testing.assert_allclose(after, wanted / wanted.sum(axis=1, keepdims=True), atol=1e-5)


def test_training_ends_with_the_shares_of_the_recipe(faces: Dataset, trained: Run, tmp_path: Path) -> None:
    recipe = from_mapping(TrainSettings, {**to_mapping(TRAINED), "shares": {"fear": 0.5}})
    weights = trained.copy(tmp_path)  # all its epochs are done, so what is left to do is the end
    (weights.with_suffix("") / "settings.json").write_text(json.dumps(to_mapping(recipe), indent=2) + "\n")
    train(faces, weights, FER2013_GEOMETRY, recipe)
    networks = [load_network(path)[1] for path in (trained.weights, weights)]
    plain, moved = (network.get_layer("emotion").get_weights()[1] for network in networks)
    np.testing.assert_allclose(moved - plain, [0, 0, np.log(0.5), 0, 0, 0, 0], atol=2e-3)  # kept in half precision
    assert load_classifier(weights).sidecar.training["settings"]["shares"]["fear"] == 0.5


@pytest.mark.parametrize("share", [0.0, -1.0, float("nan"), float("inf")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="fear"):
        ClassShares(fear=share)


# distillation


def test_teachers_take_part_in_the_targets(faces: Dataset, trained: Run, tmp_path: Path) -> None:
    soft = soft_targets([trained.weights], faces, tmp_path / "soft.npy")
    assert soft.shape == (len(faces), 7)
    np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-5)
    plain, mixed = Epoch(faces, TINY, 0), Epoch(faces, replace(TINY, distill=0.25), 0, soft)
    rows = np.arange(9)
    np.testing.assert_allclose(mixed._targets(rows), 0.75 * plain._targets(rows) + 0.25 * soft[rows], atol=1e-6)


def test_a_run_asks_the_teachers_of_its_recipe_and_names_them(faces: Dataset, trained: Run, tmp_path: Path) -> None:
    rest = split(faces, TRAINED.holdout, TRAINED.seed)[0]
    soft = soft_targets([SHIPPED], rest, tmp_path / "soft.npy")
    np.testing.assert_array_equal(np.load(trained.folder / "m" / "teachers.npy"), soft)
    written = load_classifier(trained.weights).sidecar.training
    assert written["teachers_sha256"] == [read_sidecar(SHIPPED).weights_sha256]


def test_teachers_are_asked_once_a_run(faces: Dataset, tmp_path: Path) -> None:
    cache = tmp_path / "soft.npy"
    kept = np.full((len(faces), 7), 1 / 7, np.float32)
    np.save(cache, kept)
    np.testing.assert_array_equal(soft_targets([tmp_path / "gone.keras"], faces, cache), kept)
    with pytest.raises(BadWeights):
        soft_targets([tmp_path / "gone.keras"], faces, tmp_path / "other.npy")


def test_the_weights_from_the_start_are_mixed_in(faces: Dataset, trained: Run, tmp_path: Path) -> None:
    kernels = [load_network(trained.weights)[1].get_layer("stage1_0_a_conv").get_weights()[0]]
    for keep in (0.0, 0.25):
        recipe = replace(TINY, begin_with=str(trained.weights), learning_rate=0.1, keep=keep)
        train(faces, tmp_path / f"{keep}.keras", FER2013_GEOMETRY, recipe)
        kernels.append(load_network(tmp_path / f"{keep}.keras")[1].get_layer("stage1_0_a_conv").get_weights()[0])
    begun, ended, mixed = kernels
    assert np.abs(begun - ended).max() > 0.05
    np.testing.assert_allclose(mixed, 0.25 * begun + 0.75 * ended, atol=1e-3)
    with pytest.raises(ConfigError, match="begin_with"):
        replace(TINY, keep=0.5)


@pytest.mark.slow
def test_a_run_may_begin_with_trained_weights(faces: Dataset, trained: Run, tmp_path: Path) -> None:
    larger = replace(TINY.architecture, enlarge=56)
    enlarged = replace(TINY, begin_with=str(trained.weights), epochs=1, crop=48, architecture=larger)
    train(faces, tmp_path / "enlarged.keras", FER2013_GEOMETRY, enlarged)
    assert load_classifier(tmp_path / "enlarged.keras").sidecar.architecture == larger
    with pytest.raises(ConfigError, match="crop must be 48"):
        replace(enlarged, crop=44)
    still = replace(TINY, begin_with=str(trained.weights), learning_rate=1e-9, epochs=1, ema=0.0, seed=5)
    train(faces, tmp_path / "second.keras", FER2013_GEOMETRY, still)
    first, second = (load_network(path)[1] for path in (trained.weights, tmp_path / "second.keras"))
    kernels = [network.get_layer("stage1_0_a_conv").get_weights()[0] for network in (first, second)]
    np.testing.assert_allclose(kernels[0], kernels[1], atol=1e-2)
    other = replace(still, architecture=Architecture(widths=(4, 16), pairs=(1,), dropout=0.1))
    with pytest.raises(ConfigError, match="another architecture"):
        train(faces, tmp_path / "third.keras", FER2013_GEOMETRY, other)
