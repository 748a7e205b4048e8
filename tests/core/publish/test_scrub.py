from __future__ import annotations

import platform

import pytest

from ich_cli.core.publish.scrub import scrub_text, scrub_values


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "node", lambda: "ct-host-42")


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("from /home/ann, (/data/ann/x.csv) and ~/scans/y", "from ~, (x.csv) and y"),
        ("ann@gpu7:/data/q and nas:/vol/r", "q and r"),
        ("file:///home/ann/w.bin", "w.bin"),
        ("../shared/data/weights/m.safetensors", "m.safetensors"),
        (r"D:\scans\ann\x and \\nas\share\y", "x and y"),
        (r"C:\Users\ann", "~"),
        ("on ct-host-42, by ann.b@clinic.example.org", "on …, by …"),
        # what is no path stays
        ("CT-ICH, Data 2020, 5(1), 14, doi 10.13026/w8q8-ky94", None),
        ("owner/name, n/a, 0.5/0.3, x / 255 and https://example.org/a/b", None),
        ("40/80, 80/200 HU", None),
    ],
)
def test_free_text(text: str, public: str | None) -> None:
    assert scrub_text(text) == (text if public is None else public)


@pytest.mark.parametrize(
    ("command", "public"),
    [
        ("ich train data/ct-ich --out=/mnt/a/x -m m", "ich train ct-ich --out=x -m m"),
        ("ich train '/home/ann b/my dir/x y' --mix 0.5,1", "ich train 'x y' --mix 0.5,1"),
        (r"ich train C:\Users\ann\x", "ich train x"),
        ("ich train /home/ann", "ich train '~'"),
        ("ich train 'an open quote", "ich train 'an open quote"),
    ],
)  # fmt: skip
def test_command_lines(command: str, public: str) -> None:
    assert scrub_text(command, command=True) == public


def test_all_texts_of_a_config() -> None:
    values = {
        "command": "ich train a/b",
        "config": {"init": "w/x.safetensors", "lr": 0.1, "none": None},
        "data": ["a/b of /home/ann/c", {"more": "/x/y"}],
    }
    assert scrub_values(values) == {
        "command": "ich train b",
        "config": {"init": "x.safetensors", "lr": 0.1, "none": None},
        "data": ["a/b of c", {"more": "y"}],
    }
