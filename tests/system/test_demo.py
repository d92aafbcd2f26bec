"""`make demo`: what it prints is what the shop did."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from local.demo.shop import NoShopRuns, find_shop
from tests.system.cloud import ROOT, Cloud

pytestmark = pytest.mark.slow


def _demo(*arguments: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "local.demo", *arguments]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)


def test_a_demo_goes_from_a_search_to_the_mail(cloud: Cloud) -> None:
    cloud.make_stock("DEMO", 3)
    cloud.settle()  # until search has heard of it

    told = _demo(cloud.url)

    assert (told.returncode, told.stderr) == (0, "")
    (number,) = re.findall(r"^Order (\w+) is paid, its stock allocated, and one mail sent", told.stdout, re.MULTILINE)
    steps = re.findall(r"^ +\d+  (\w+ \w+)", told.stdout, re.MULTILINE)
    assert steps == [
        "Search the",
        "Look at",
        "Put it",
        "Check out",
        "Approve the",
        "Take the",
        "Let the",
        "Look at",
        "Look at",
        "Look into",
        "Look into",
    ]
    ((status, captured, total),) = cloud.sql(
        "select status, captured_minor, total_minor from orders where number = :n", n=number
    )
    (mail,) = [mail for mail in cloud.inbox() if number in mail["subject"]]
    assert (status, captured) == ("paid", total)
    assert re.search(rf"capture +\w{{17}} +COMPLETED +{total / 100:.2f} USD", told.stdout)
    assert re.search(rf"Subject +{re.escape(mail['subject'])}\n", told.stdout)


def test_a_demo_buys_what_is_left_and_says_so_when_nothing_is(cloud: Cloud) -> None:
    lamp = cloud.make_stock("DEMOLAST", 3)
    cloud.settle()

    two, one, none = (_demo(cloud.url, "--search", lamp) for _ in range(3))

    assert re.search(r"allocate .*\n +now +DEMOLAST-\w+ +3 +2\n", two.stdout)
    assert re.search(r"allocate .*\n +now +DEMOLAST-\w+ +3 +3\n", one.stdout)
    assert (two.returncode, one.returncode, none.returncode) == (0, 0, 1)
    assert none.stdout.endswith(f"The purchase failed. Nothing in stock is found by “{lamp}”.\n")
    assert cloud.level(lamp) == (3, 3)


def test_without_a_shop_a_demo_says_how_to_start_one(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9"  # the discard port, which nobody serves any more
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "instance.json").write_text(json.dumps({"url": nobody}))

    told = _demo(nobody)

    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr == f"Nobody listens on {nobody}. `make run` starts a shop.\n"
    with pytest.raises(NoShopRuns, match="Start one with `make run`"):
        find_shop(tmp_path)


def test_a_demo_finds_the_shop_that_runs_beside_one_that_was_killed(cloud: Cloud, tmp_path: Path) -> None:
    for name, url in (("killed", "http://127.0.0.1:9"), ("shop", cloud.url)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "instance.json").write_text(json.dumps({"url": url}))

    assert find_shop(tmp_path) == cloud.url
