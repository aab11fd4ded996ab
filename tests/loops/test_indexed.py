"""A data set whose items say which point they are."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split

from stg_core import Indexed, UserError
from stg_core.maps.loops.indexed import indices_of

X, Y = torch.arange(20.0), torch.arange(20) % 2


def batches_of(data: Any) -> list[Any]:
    return list(DataLoader(data, batch_size=6, shuffle=True))  # type: ignore[arg-type]


def test_a_shuffled_batch_says_which_points_it_is_of() -> None:
    seen = []
    for batch in batches_of(Indexed(TensorDataset(X, Y))):
        indices, (x, y) = batch  # type: ignore[misc]
        assert torch.equal(x, X[indices]) and torch.equal(y, Y[indices])
        assert indices_of(batch) is indices
        seen += indices.tolist()
    assert sorted(seen) == list(range(20)) and seen != sorted(seen)


def test_items_that_are_dictionaries_get_a_key() -> None:
    items = [{"x": x, "y": y} for x, y in zip(X, Y, strict=True)]
    for batch in batches_of(Indexed(items)):
        assert torch.equal(batch["x"], X[batch["point"]])  # type: ignore[index]
        assert indices_of(batch) is batch["point"]  # type: ignore[index]
    assert set(items[0]) == {"x", "y"}


def test_what_is_split_afterwards_keeps_the_indices_of_the_whole() -> None:
    torch.manual_seed(0)
    train, _ = random_split(Indexed(TensorDataset(X)), [12, 8])  # type: ignore[var-annotated, arg-type]
    for indices, (x,) in DataLoader(train, batch_size=5):
        assert torch.equal(x, X[indices])


def test_batches_are_asked_for_at_once_where_the_data_can_give_them() -> None:
    asked = []

    class Table(Dataset):
        def __len__(self) -> int:
            return 20

        def __getitem__(self, index: int) -> float:
            raise AssertionError("one by one")

        def __getitems__(self, indices: list[int]) -> list[float]:
            asked.append(len(indices))
            return [float(X[i]) for i in indices]

    for indices, x in DataLoader(Indexed(Table()), batch_size=8):  # type: ignore[arg-type]
        assert torch.equal(x.float(), X[indices])
    assert asked == [8, 8, 4]


def test_workers_and_numpy_indices_do_as_well() -> None:
    loader: Any = DataLoader(Indexed(TensorDataset(X)), batch_size=10, num_workers=1)  # type: ignore[arg-type]
    assert torch.cat([indices for indices, _ in loader]).tolist() == list(range(20))
    assert Indexed([1, 2])[cast(int, np.int64(1))] == (1, 2)  # type: ignore[call-overload]


def test_a_stream_is_refused() -> None:
    with pytest.raises(UserError, match="with a length and places"):
        Indexed(iter(range(3)))


def test_items_that_have_the_key_already_are_refused() -> None:
    with pytest.raises(UserError, match="key “point” of their own"):
        Indexed([{"point": 3}])[0]


def test_batches_of_other_data_have_no_indices() -> None:
    assert indices_of([torch.arange(3), torch.zeros(3, 2)]) is None  # token ids are no indices
    assert indices_of({"x": X}) is None
    assert indices_of(X) is None
