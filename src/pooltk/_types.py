"""Names for what the public functions take, in their type hints."""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

#: An array that speaks the array API, or what `numpy.asarray` takes.
Array: TypeAlias = Any
#: One int for all pooled axes, or one for each.
Ints: TypeAlias = int | Sequence[int]
Padding: TypeAlias = Ints | Sequence[tuple[int, int]] | Literal["valid", "same", "same_lower"]
OutputSize: TypeAlias = int | Sequence[int | None] | None
DataFormat: TypeAlias = Literal["channels_first", "channels_last"]
