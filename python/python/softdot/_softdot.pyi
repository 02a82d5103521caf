from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, SupportsFloat, SupportsIndex, TypeAlias, TypeVar, final, overload

from softdot._top_k import TopK

# NumPy arrays, torch tensors, anything with DLPack or the buffer protocol: there is no type for
# their element types.
_Array: TypeAlias = Any
_Row: TypeAlias = Sequence[SupportsFloat] | _Array
_Out = TypeVar("_Out")
_Isa: TypeAlias = Literal["avx512", "avx2", "neon", "scalar"]
_Returned: TypeAlias = Literal[
    "lse",
    "weights",
    "max_logit",
    "max_weight",
    "max_weight_key",
    "entropy",
    "top_k",
    "key_mass",
    "key_max",
]
_Stage: TypeAlias = Literal["scores", "capped", "biased", "weights"]
# Or a type object of NumPy, ml_dtypes, torch or JAX.
_Dtype: TypeAlias = Literal["float32", "float16", "bfloat16"] | Any

__all__ = [
    "AttentionResult",
    "PackedKeys",
    "__version__",
    "_new_empty",
    "alibi_slopes",
    "attention",
    "attention_weights",
    "available_isas",
    "dot",
    "isa",
    "release_memory",
    "scaled_softmax",
]

__version__: Final[str]

def alibi_slopes(heads: SupportsIndex) -> list[float]: ...
@overload
def attention(
    query: _Array,
    key: _Array | PackedKeys,
    value: _Array,
    *,
    scale: SupportsFloat | None = None,
    softcap: SupportsFloat | None = None,
    bias: _Array | None = None,
    alibi_slopes: _Row | None = None,
    mask: _Array | None = None,
    causal: Literal["top-left", "bottom-right"] | SupportsIndex | None = None,
    window: Sequence[SupportsIndex | None] | None = None,
    key_lengths: Sequence[SupportsIndex] | _Array | None = None,
    sinks: _Row | None = None,
    out: None = None,
    returns: None = None,
    top_k: None = None,
    mass_rows: None = None,
    mass_heads: None = None,
    heads: None = None,
    dtype: _Dtype | None = None,
    isa: _Isa | None = None,
    threads: SupportsIndex | None = None,
) -> _Array: ...
@overload
def attention(
    query: _Array,
    key: _Array | PackedKeys,
    value: _Array,
    *,
    scale: SupportsFloat | None = None,
    softcap: SupportsFloat | None = None,
    bias: _Array | None = None,
    alibi_slopes: _Row | None = None,
    mask: _Array | None = None,
    causal: Literal["top-left", "bottom-right"] | SupportsIndex | None = None,
    window: Sequence[SupportsIndex | None] | None = None,
    key_lengths: Sequence[SupportsIndex] | _Array | None = None,
    sinks: _Row | None = None,
    out: _Out,
    returns: None = None,
    top_k: None = None,
    mass_rows: None = None,
    mass_heads: None = None,
    heads: None = None,
    dtype: _Dtype | None = None,
    isa: _Isa | None = None,
    threads: SupportsIndex | None = None,
) -> _Out: ...
@overload
def attention(
    query: _Array,
    key: _Array | PackedKeys,
    value: _Array,
    *,
    scale: SupportsFloat | None = None,
    softcap: SupportsFloat | None = None,
    bias: _Array | None = None,
    alibi_slopes: _Row | None = None,
    mask: _Array | None = None,
    causal: Literal["top-left", "bottom-right"] | SupportsIndex | None = None,
    window: Sequence[SupportsIndex | None] | None = None,
    key_lengths: Sequence[SupportsIndex] | _Array | None = None,
    sinks: _Row | None = None,
    out: _Array | None = None,
    returns: _Returned | Iterable[_Returned],
    top_k: SupportsIndex | None = None,
    mass_rows: SupportsIndex | Sequence[SupportsIndex] | None = None,
    mass_heads: Literal["query", "kv"] | None = None,
    heads: Iterable[SupportsIndex] | None = None,
    dtype: _Dtype | None = None,
    isa: _Isa | None = None,
    threads: SupportsIndex | None = None,
) -> AttentionResult: ...
@overload
def attention_weights(
    query: _Array,
    key: _Array | PackedKeys,
    *,
    scale: SupportsFloat | None = None,
    softcap: SupportsFloat | None = None,
    bias: _Array | None = None,
    alibi_slopes: _Row | None = None,
    mask: _Array | None = None,
    causal: Literal["top-left", "bottom-right"] | SupportsIndex | None = None,
    window: Sequence[SupportsIndex | None] | None = None,
    key_lengths: Sequence[SupportsIndex] | _Array | None = None,
    sinks: _Row | None = None,
    stage: _Stage = "weights",
    out: None = None,
    dtype: _Dtype | None = None,
    isa: _Isa | None = None,
    threads: SupportsIndex | None = None,
) -> _Array: ...
@overload
def attention_weights(
    query: _Array,
    key: _Array | PackedKeys,
    *,
    scale: SupportsFloat | None = None,
    softcap: SupportsFloat | None = None,
    bias: _Array | None = None,
    alibi_slopes: _Row | None = None,
    mask: _Array | None = None,
    causal: Literal["top-left", "bottom-right"] | SupportsIndex | None = None,
    window: Sequence[SupportsIndex | None] | None = None,
    key_lengths: Sequence[SupportsIndex] | _Array | None = None,
    sinks: _Row | None = None,
    stage: _Stage = "weights",
    out: _Out,
    dtype: _Dtype | None = None,
    isa: _Isa | None = None,
    threads: SupportsIndex | None = None,
) -> _Out: ...
def dot(a: _Array, b: _Array, *, isa: _Isa | None = None) -> float: ...
@overload
def scaled_softmax(
    row: _Array, scale: SupportsFloat, *, out: None = None, isa: _Isa | None = None
) -> _Array: ...
@overload
def scaled_softmax(
    row: _Array, scale: SupportsFloat, *, out: _Out, isa: _Isa | None = None
) -> _Out: ...
def isa() -> _Isa: ...
def available_isas() -> list[_Isa]: ...
def release_memory() -> int: ...
@final
class AttentionResult:
    @property
    def output(self) -> _Array: ...
    @property
    def lse(self) -> _Array | None: ...
    @property
    def weights(self) -> _Array | None: ...
    @property
    def max_logit(self) -> _Array | None: ...
    @property
    def max_weight(self) -> _Array | None: ...
    @property
    def max_weight_key(self) -> _Array | None: ...
    @property
    def entropy(self) -> _Array | None: ...
    @property
    def top_k(self) -> TopK | None: ...
    @property
    def key_mass(self) -> _Array | None: ...
    @property
    def key_max(self) -> _Array | None: ...

def _new_empty(query: _Array, shape: Sequence[int]) -> _Array: ...
@final
class PackedKeys:
    def __new__(
        cls, batch: SupportsIndex, kv_heads: SupportsIndex, head_dim: SupportsIndex
    ) -> PackedKeys: ...
    @staticmethod
    def from_view(key: _Array) -> PackedKeys: ...
    @property
    def shape(self) -> tuple[int, int, int, int]: ...
    @property
    def capacity(self) -> int: ...
    def append(self, key: _Array) -> None: ...
    def reserve(self, additional: SupportsIndex) -> None: ...
    def truncate(self, keys: SupportsIndex) -> None: ...
    def copy(self) -> PackedKeys: ...
    def __copy__(self) -> PackedKeys: ...
    def __deepcopy__(self, memo: Any) -> PackedKeys: ...
    def __setstate__(self, key: _Array) -> None: ...
    def __len__(self) -> int: ...
