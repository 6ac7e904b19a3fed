"""A job from its channel to its model folder."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.failure import JobError
from byo_container.container.job import TrainingJob
from byo_container.container.log import log
from byo_container.handlers.translation import Translation, compat
from tests.handlers.translation.checkpoints import parameters_of
from tests.handlers.translation.support import METRIC, MODEL, TRANSFORMER, MakeJob, make_tree_below, metrics


def test_model_folder_holds_only_what_serving_needs(trained: TrainingJob[Any]) -> None:
    import torch

    assert {path.name for path in trained.model_dir.iterdir()} == MODEL
    manifest = json.loads((trained.model_dir / "translation.json").read_text())
    assert (manifest["source"], manifest["target"], manifest["architecture"]) == ("de", "en", "fconv_iwslt_de_en")
    assert manifest["generation"] == {"beam": 2, "max_len_a": 0, "max_len_b": 12}
    assert manifest["facts"]["valid_loss"] > 0
    state = torch.load(trained.model_dir / "checkpoint.pt", weights_only=True)
    assert "last_optimizer_state" not in state
    assert str(trained.paths.root) not in str(state["cfg"])


def test_fairseq_itself_loads_the_model(trained: TrainingJob[Any]) -> None:
    from fairseq import checkpoint_utils

    overrides = {"data": str(trained.model_dir)}
    path = str(trained.model_dir / "checkpoint.pt")
    models, _, task = checkpoint_utils.load_model_ensemble_and_task([path], arg_overrides=overrides)
    assert len(task.source_dictionary) > 50
    assert sum(parameter.numel() for parameter in models[0].parameters()) > 1000


def test_metrics_are_logged_after_the_first_update_and_once_each(
    make_job: MakeJob, capsys: pytest.CaptureFixture[str]
) -> None:
    Translation().train(make_job(log_interval=3, max_update=7, eval_bleu="false"))
    out = capsys.readouterr().out
    assert [int(update) for update, figures in METRIC.findall(out) if "words_per_second" in figures] == [3, 6]
    assert re.findall(r"^update (\d+): train_loss", out, re.MULTILINE) == ["1", "3", "6", "7"]  # 7: the epoch's


def test_options_of_old_fairseq_train_and_become_request_defaults(
    make_job: MakeJob, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"distributed-backend": "gloo", "skip-invalid-size-inputs-valid-test": "", "min-lr": "1e-9", "raw-text": ""}
    search = {"sampling": "", "sampling-topk": 9999, "temperature": 0.8, "replace-unk": "", "min-len": 100}
    job = make_job(max_update=3, **given, **search)
    Translation().train(job)
    assert "distributed_backend = 'gloo' changes nothing: ranks without a GPU" in capsys.readouterr().out
    generation = json.loads((job.model_dir / "translation.json").read_text())["generation"]
    wanted = {"sampling": True, "sampling_topk": 9999, "temperature": 0.8, "replace_unk": True, "min_len": 100}
    assert {name: generation[name] for name in wanted} == wanted


def test_metrics_and_summary(make_job: MakeJob, capsys: pytest.CaptureFixture[str], plain: Path) -> None:
    job = make_job(sorted(plain.iterdir()), eval_bleu_args='{"beam": 1}')
    Translation().train(job)
    out = capsys.readouterr().out
    found = metrics(out)
    assert set(found) == {
        *("train_loss", "train_perplexity", "learning_rate", "words_per_second"),
        *("valid_loss", "valid_perplexity", "valid_bleu", "valid_chrf"),
    }
    assert len(found["valid_loss"]) == 2
    assert found["valid_loss"][1] < found["valid_loss"][0]
    assert found["train_loss"][-1] < found["train_loss"][0]
    figures = json.loads((job.output_data_dir / "summary.json").read_text())
    assert figures["updates"] > 10
    assert (figures["ranks"], figures["training_lines"]) == (1, 400)
    assert figures["share_waiting_for_the_network"] == 0
    assert figures["words_per_second"] > 10
    assert re.match(r"checkpoint_best.pt \(\d\.\d MB\), checkpoint_last.pt", figures["checkpoint_files"])
    assert re.search(rf"^  words_per_second +{figures['words_per_second']}$", out, re.MULTILINE)
    assert 0 < figures["seconds_to_the_best_checkpoint"] <= figures["training_seconds"]
    assert figures["preparing_seconds"] > 0
    assert 0 < figures["cpu_utilisation"] <= 1.1
    assert 0 <= figures["share_waiting_for_data"] < 1
    assert figures["likely_bottleneck"] in ("cpu", "data")
    assert (figures["validations"], figures["validations_since_the_best"]) == (2, 0)
    assert (
        figures["fully_trained"] == figures["overfitting"] == "unknown: 2 validations are too few to tell, 4 would do"
    )
    assert "network_megabytes_sent" not in figures, "a rank that is alone sends nothing"


def test_restarting_a_finished_job_changes_nothing(
    make_job: MakeJob, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    import torch

    monkeypatch.setattr(log, "propagate", True)
    for _ in range(2):
        assert "nothing was trained" not in caplog.text
        job = make_job(max_update=3, eval_bleu="false")
        Translation().train(job)
    assert f"nothing was trained: max_update 3 is reached; raise it, or empty the folder {job.checkpoint_dir}" in (
        caplog.text
    )
    assert re.search(r"^going on after update 3 \(epoch \d\), from checkpoint_last.pt$", capsys.readouterr().out, re.M)
    figures = json.loads((job.output_data_dir / "summary.json").read_text())
    assert figures["updates"] == 3
    assert not {"words_per_second", "step_seconds", "cpu_utilisation", "likely_bottleneck"} & set(figures)
    again = parameters_of(job.checkpoint_dir / "checkpoint_last.pt")
    assert torch.load(job.checkpoint_dir / "checkpoint_last.pt")["optimizer_history"][-1]["num_updates"] == 3
    once = make_job(max_update=4, eval_bleu="false")
    Translation().train(once)
    assert parameters_of(job.checkpoint_dir / "checkpoint_last.pt") != again


@pytest.mark.slow
def test_a_transformer_from_english_chosen_by_bleu(ready: Path, tmp_path: Path) -> None:
    given = {"source_lang": "en", "target_lang": "de", "best_checkpoint_metric": "bleu", "save_interval_updates": 4}
    tree = make_tree_below(tmp_path, sorted(ready.iterdir()), **TRANSFORMER, **given)
    job = TrainingJob.read(tree.paths)
    Translation().train(job)
    manifest = json.loads((job.model_dir / "translation.json").read_text())
    assert (manifest["source"], manifest["target"]) == ("en", "de")
    assert "valid_bleu" in manifest["facts"]
    assert len(list(job.checkpoint_dir.glob("checkpoint_*_*.pt"))) == 1


def test_a_transformer_with_the_flags_of_fairseqs_old_examples(ready: Path, tmp_path: Path) -> None:
    """Of which min-lr, above the 0 that warm-up begins at, would end training before the first update."""
    given = {"min-lr": "1e-9", "optimizer": "adam", "lr-scheduler": "inverse_sqrt", "max_update": 2, "raw-text": ""}
    tree = make_tree_below(tmp_path, sorted(ready.iterdir()), **TRANSFORMER, **given, eval_bleu="false")
    job = TrainingJob.read(tree.paths)
    Translation().train(job)
    assert json.loads((job.output_data_dir / "summary.json").read_text())["updates"] == 2


def test_embeddings_that_are_shared_get_one_dictionary(plain: Path, tmp_path: Path) -> None:
    given = {"share_all_embeddings": "", "max_update": 1, "eval_bleu": "false"}
    job = TrainingJob.read(make_tree_below(tmp_path, sorted(plain.iterdir()), **TRANSFORMER, **given).paths)
    Translation().train(job)
    german, english = (job.model_dir / f"dict.{language}.txt" for language in ("de", "en"))
    assert german.read_text() == english.read_text()


def test_validation_text_in_a_channel_of_its_own(make_job: MakeJob, plain: Path) -> None:
    job = make_job([plain / "train.de", plain / "train.en"], max_update=1, eval_bleu="false")
    folder = job.paths.data / "validation"
    folder.mkdir()
    for language in ("de", "en"):
        (folder / f"some.{language}").write_text((plain / f"valid.{language}").read_text())
    job.paths.input_data_config.write_text('{"training": {}, "validation": {}}')
    Translation().train(TrainingJob.read(job.paths))
    manifest = json.loads((job.model_dir / "translation.json").read_text())
    assert manifest["facts"]["train_lines"] == 400, "else every 23rd would have been held out"


def test_checkpoints_of_another_job_are_refused(make_job: MakeJob) -> None:
    job = make_job(max_update=1, eval_bleu="false")
    Translation().train(job)
    with pytest.raises(JobError, match=r"translate in another direction .direction was 'de-en', now 'en-de'"):
        Translation().train(make_job(max_update=1, source_lang="en"))
    note = job.checkpoint_dir / "run.json"
    note.write_text(note.read_text().replace('"ranks": 1', '"ranks": 2'))
    with pytest.raises(
        JobError, match=r"made by another number of ranks.*empty the folder to train from the beginning"
    ):
        Translation().train(make_job(max_update=2, eval_bleu="false"))


def test_checkpoints_of_other_settings_are_refused(make_job: MakeJob, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"eval_bleu": "false", "log_interval": 1}
    Translation().train(make_job(max_update=2, **given))
    for name, value, before, now in [
        ("lr", 0.01, "0.25", "0.01"),
        ("dropout", 0.5, "0.2", "0.5"),
        ("optimizer", "sgd", "'nag'", "'sgd'"),
        ("max_tokens", 700, "600", "700"),
        ("seed", 7, "1", "7"),
        ("criterion", "cross_entropy", "'label_smoothed_cross_entropy'", "'cross_entropy'"),
        ("encoder_embed_dim", 64, "32", "64"),
    ]:
        other = make_job(**{**given, "max_update": 2, name: value})
        said = f"were made with another {name} ({name} was {before}, now {now}); empty the folder to train from the"
        with pytest.raises(JobError, match=re.escape(said)):
            Translation().train(other)
    more = {"max_epoch": 4, "log_interval": 2, "save_interval_updates": 3, "num_workers": 1, "patience": 9, "beam": 3}
    capsys.readouterr()
    Translation().train(make_job(max_update=4, **{**given, **more}, amp="true"))
    assert "going on after update 2 (epoch 1), from checkpoint_last.pt" in capsys.readouterr().out
    job = make_job(max_update=5, **given, lr=0.01, reset_lr_scheduler="true")
    Translation().train(job)  # fairseq's own way to go on with another learning rate
    note = job.checkpoint_dir / "run.json"
    noted = json.loads(note.read_text())
    assert noted.pop("settings")["lr"] == 0.01
    note.write_text(json.dumps(noted))
    Translation().train(make_job(max_update=6, **given, dropout=0.5))  # a note of an earlier release


def test_job_without_any_update_fails(make_job: MakeJob) -> None:
    with pytest.raises(JobError, match="rank 0 has trained nothing: no update was done"):
        Translation().train(make_job(stop_min_lr=100))


def test_missing_package_is_reported_with_its_extra(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "_state", {"installed": False})
    monkeypatch.setitem(sys.modules, "fairseq", None)
    with pytest.raises(JobError, match=r"needs the package fairseq, which is not installed; install its extra: .pip"):
        Translation().train(make_job())


def test_a_channel_in_pipe_mode_is_refused(make_job: MakeJob) -> None:
    job = make_job()
    job.paths.input_data_config.write_text('{"training": {"TrainingInputMode": "Pipe"}}')
    with pytest.raises(JobError, match=r"'training' is in Pipe mode.*set its TrainingInputMode to File or FastFile"):
        Translation().train(TrainingJob.read(job.paths))


def test_damaged_checkpoint_is_replaced_by_an_older_one(make_job: MakeJob, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"eval_bleu": "false", "save_interval_updates": 4, "log_interval": 1}
    job = make_job(max_update=6, **given)
    Translation().train(job)
    last = job.checkpoint_dir / "checkpoint_last.pt"
    last.write_bytes(last.read_bytes()[:-1000])
    capsys.readouterr()
    Translation().train(make_job(max_update=8, **given))
    assert "update 8:" in capsys.readouterr().out
    for path in job.checkpoint_dir.glob("checkpoint*.pt"):
        path.write_bytes(b"torn")
    Translation().train(make_job(max_update=2, **given))
    assert "update 1:" in capsys.readouterr().out


def test_mixed_precision_on_a_cpu_comes_to_nearly_the_same(make_job: MakeJob) -> None:
    runs = []
    for number, amp in enumerate((False, True, True)):
        job = make_job(amp=amp, max_update=10, eval_bleu="false")
        Translation().train(job)
        manifest = json.loads((job.model_dir / "translation.json").read_text())
        runs.append((parameters_of(job.checkpoint_dir / "checkpoint_last.pt"), manifest["facts"]["valid_loss"]))
        job.checkpoint_dir.rename(job.checkpoint_dir.with_name(f"checkpoints-{number}"))
    assert runs[1] == runs[2]
    assert runs[0][0] != runs[1][0]
    assert abs(runs[0][1] - runs[1][1]) < 0.02 * runs[0][1]


def test_bf16_computes_on_a_cpu_and_is_served_as_float(make_job: MakeJob) -> None:
    import torch

    job = make_job(bf16="true", max_update=6, save_interval_updates=3, eval_bleu_args='{"beam": 1}')
    Translation().train(job)
    state = torch.load(job.model_dir / "checkpoint.pt", weights_only=True)
    assert not state["cfg"]["common"]["bf16"]
    assert {value.dtype for value in state["model"].values() if value.is_floating_point()} == {torch.float32}
