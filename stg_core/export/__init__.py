"""The model to take home: one file that predicts, its check, and its model card.

`Predictor` answers with numpy and onnxruntime alone; `load` gives a torch module to go on training.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stg_core.export.predictor import Prediction, Predictor
    from stg_core.export.served import load

_MODULES = {"Prediction": "predictor", "Predictor": "predictor", "load": "served"}
__all__ = ["Prediction", "Predictor", "load"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
