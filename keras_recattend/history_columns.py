"""The columns of `history.csv`: of all stages, so that one file serves all."""

from keras_recattend import stages

__all__ = ["history_columns"]


def history_columns(config, scales_loss=False):
    """Return the names of the columns for a `Config`.

    Args:
        scales_loss: whether the loss is scaled, and steps may be left out
            (mixed_float16).
    """
    columns = ["stage", "epoch", "step", "minutes", "learning_rate"]
    columns += ["images_per_second", "gradient_norm"]
    columns += ["loss_scale", "skipped_steps"] if scales_loss else []
    columns.append("loss")
    for name in config.stages:
        objective = stages.objective(name, config)
        columns += [*objective.terms, *objective.measures]
    columns = list(dict.fromkeys(columns))
    validated = [f"val_{name}" for name in columns[columns.index("loss") :]]
    return [*columns, *validated, "sbd", "abs_dic", "fbd", "mucov"]
