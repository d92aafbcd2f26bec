"""A catalogue from the back office into the shop: sent to the bucket, read by the jobs, over HTTP."""

import gzip
import urllib.request
from typing import Any
from uuid import uuid4

from tests.system.cloud import Cloud


def send(upload: dict[str, Any], content: bytes) -> int:
    request = urllib.request.Request(upload["url"], data=content, method=upload["method"], headers=upload["headers"])
    with urllib.request.urlopen(request, timeout=60) as answer:
        return int(answer.status)


def test_a_file_is_sent_and_imported_while_its_worker_is_killed(cloud: Cloud) -> None:
    own, staff = uuid4().hex[:8], cloud.staff()
    lines = "".join(f"{own}-{n},{own}-P{n // 2},Lamp {n},{n % 9 + 1},3\n" for n in range(1_200))
    content = gzip.compress(f"sku,product,name,price,on_hand\n{lines}{own}-0,{own}-P0,Lamp,1,3\n".encode())

    made = cloud.call("POST", "/v1/admin/imports", {"filename": "lamps.csv.gz", "bytes": len(content)}, headers=staff)
    path = f"/v1/admin/imports/{made.json['id']}"
    early = cloud.call("POST", f"{path}/start", headers=staff)
    sent = send(made.json["upload"], content)
    started = cloud.patiently("POST", f"{path}/start", headers=staff)
    cloud.kill("import-jobs")
    cloud.settle(timeout_s=90)
    cloud.advance(4 * 60)  # whoever was killed has its turn no longer
    cloud.settle(timeout_s=90)
    done = cloud.call("GET", path, headers=staff).json
    errors = cloud.call("GET", f"{path}/errors", headers=staff).json["items"]
    export = cloud.call("GET", f"{path}/errors/export", headers=staff)

    assert (made.status, early.status, sent, started.status) == (201, 409, 200, 200)
    assert early.json["type"] == "https://vitrine.example/problems/upload-missing"
    assert started.json["state"] == "running"
    assert (done["state"], done["failure"]) == ("finished", None)
    assert done["counts"] == {"new": 1_200, "changed": 0, "unchanged": 0, "refused": 1}
    assert [(each["line"], each["reason"]) for each in errors] == [(1_202, f"{own}-0 is on line 2 already")]
    assert export.raw.decode().splitlines() == ["\ufeffline,sku,reason", f"1202,{own}-0,{own}-0 is on line 2 already"]
    found = cloud.call("GET", f"/v1/products?q={own}-1199", headers={}).json["items"]
    assert [item["name"] for item in found] == ["Lamp 1198"]
