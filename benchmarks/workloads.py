"""The workloads: attention as in ``softdot bench``, under the same names, and with a padding mask."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """Attention of one batch entry."""

    kind: str
    q_heads: int
    query_rows: int
    keys: int
    head_dim: int
    kv_heads: int
    stage: str = "weights"
    option: str | None = None
    awkward: bool = False

    @property
    def name(self) -> str:
        """The kind, the heads × query rows × keys, the head_dim."""
        heads = str(self.q_heads)
        if self.kv_heads != self.q_heads:
            heads += f"on{self.kv_heads}"
        return f"{self.kind}/{heads}x{self.query_rows}x{self.keys}/d{self.head_dim}"

    @property
    def flops(self) -> int:
        """Two for each multiply-add; exponentials are not counted.

        Of an output those of its two products, for attended pairs; else those of all dot products,
        wanted or not.
        """
        if self.stage == "output":
            return 4 * self.attended_pairs * self.head_dim
        return 2 * self.q_heads * self.query_rows * self.keys * self.head_dim

    @property
    def attended_pairs(self) -> int:
        """Pairs of a query row and a key that causal rows, bottom-right, or the padding leave."""
        rows, keys = self.query_rows, self.keys
        excluded = {"causal": rows * (rows - 1) // 2, "padding": rows * self.padding}
        return self.q_heads * (rows * keys - excluded.get(self.option, 0))

    @property
    def padding(self) -> int:
        """The keys at the end that a padding mask excludes: of a batch, this entry is shorter."""
        return self.keys // 4

    @property
    def is_causal_anyhow(self) -> bool:
        """Whether it is causal, and top-left would mean the same as bottom-right."""
        return self.option == "causal" and self.query_rows == self.keys

    @property
    def scale(self) -> float:
        """What dot products are multiplied by."""
        return self.head_dim**-0.5


def _dense(kind: str, heads: int, rows: int, keys: int, head_dim: int, **more) -> Workload:
    return Workload(kind, heads, rows, keys, head_dim, **{"kv_heads": heads, **more})


def _output(kind: str, *sizes: int, **more) -> Workload:
    return _dense(kind, *sizes, stage="output", **more)


_ALL = [
    _output("output", 12, 128, 128, 64),
    _output("output", 12, 512, 512, 64),
    _output("output", 1, 4096, 4096, 64),
    _output("output", 8, 2048, 2048, 128),
    _output("output/causal", 8, 2048, 2048, 128, option="causal"),
    # 512 new rows after 3,584 cached keys.
    _output("output/causal", 8, 512, 4096, 128, option="causal"),
    _output("output/padding", 12, 512, 512, 64, option="padding"),
    _output("output/decode", 32, 1, 4096, 128),
    _output("output/decode", 32, 1, 4096, 128, kv_heads=8),
    _dense("prefill", 12, 128, 128, 64),
    _dense("prefill", 12, 512, 512, 64),
    _dense("prefill", 1, 4096, 4096, 64),
    _dense("prefill", 8, 2048, 2048, 128),
    _dense("scores", 8, 2048, 2048, 128, stage="scores"),
    *(_dense(option, 8, 2048, 2048, 128, option=option) for option in ("causal", "mask", "bias")),
    _dense("decode/rows", 32, 1, 4096, 128),
    _dense("decode/grouped-rows", 32, 1, 4096, 128, kv_heads=8),
    _dense("decode/rows", 2, 1, 1024, 128),
    _dense("tiny", 12, 6, 6, 32),
    *(_dense("awkward", 8, n, n, 64, awkward=True) for n in (1000, 1023, 77)),
    *(_dense("awkward", 8, 512, 512, d, awkward=True) for d in (33, 80, 96, 256)),
    *(_dense("awkward", 8, rows, 1024, 64, awkward=True) for rows in (7, 8)),
]


def select(part: str, with_awkward: bool) -> list[Workload]:
    """Those whose names contain ``part``."""
    chosen = [workload for workload in _ALL if part in workload.name]
    return [workload for workload in chosen if with_awkward or part or not workload.awkward]
