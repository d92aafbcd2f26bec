"""Remembers, in a file that the test names by the folder, every job that reached it."""

import json
import os
import time
from pathlib import Path
from typing import Any

import flask

api = flask.Flask(__name__)


@api.route("/jobs/<path:job>", methods=["GET", "POST"])
def work(job: str) -> Any:
    home = Path(os.environ["HOME"])
    if job == "fail" and not (home / "mended").exists():
        return {"failed": job}, 500
    row = {"job": job, "at": time.time(), "body": flask.request.get_data().decode(), "pid": os.getpid()}
    with open(home / "jobs.jsonl", "a") as log:
        log.write(json.dumps(row) + "\n")
    return {"done": job}


def worker(request: flask.Request) -> flask.Flask:
    return api
