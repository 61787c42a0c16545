"""Ray clusters on this machine, on loopback: `python nodes.py VERB ARGUMENTS…`, in a process of its own, which Ray fills.

`two FILE OUT AFTER`: runs a study on two nodes, one of which is killed after so many trials; prints its digest.
`open FILE OUT`: runs it on a cluster that asks for no token; prints what is said.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def two(asked: str, out: str, after: str) -> dict[str, Any]:
    """A study on two nodes, one of which dies."""
    from ray.cluster_utils import Cluster

    from ztb.studies.reading import run_study

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    done: list[str] = []

    def kill_one(result: Any, _progress: object) -> None:
        done.append(result.key)
        if len(done) == int(after):
            cluster.remove_node(second, allow_graceful=False)

    study = run_study(asked, out=out, cluster=cluster.address, keep="none", listener=kill_one)
    cluster.shutdown()
    assert study.summary is not None
    return {
        "digest": study.summary["digest"],
        "failed": study.summary["failed"],
        "killed": len(done) > int(after),
    }


def without_token(asked: str, out: str) -> dict[str, Any]:
    """A study on a cluster that lets everybody in, by somebody who has a token."""
    import subprocess

    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    ours = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "ab" * 32}
    done = subprocess.run(
        [sys.executable, "-m", "ztb", "study", "run", asked, "--out", out, "--cluster", str(cluster.address)],
        env=ours, capture_output=True, text=True, check=False,
    )  # fmt: skip
    cluster.shutdown()
    return {"code": done.returncode, "said": done.stderr}


if __name__ == "__main__":
    print(json.dumps({"two": two, "open": without_token}[sys.argv[1]](*sys.argv[2:])))
