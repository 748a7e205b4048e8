from __future__ import annotations

from ich_cli.core.data.sources.phantoms import PhantomSeries


def test_phantoms_come_with_exact_labels() -> None:
    slices = list(PhantomSeries(3, ("epidural",), size=64).read())
    assert any(s.labels and s.labels[:2] == (1.0, 1.0) for s in slices)
    for one in slices:
        assert one.mask is not None
        assert one.labels is not None
        assert one.mask.any() == (one.labels[0] == 1)
    assert {s.patient for s in slices} == {"phantom-3"}
