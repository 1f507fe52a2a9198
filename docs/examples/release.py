"""Which files a table has: from CURRENT to MANIFEST.json, never from a directory listing."""

import hashlib
import json
import pathlib


def files(store, table):
    """Paths of a table of the current release, e.g. files("out/quickstart", "controlled/omop/person")."""
    release_id, digest = pathlib.Path(store, "CURRENT").read_text().split()
    release = pathlib.Path(store, "releases", release_id)
    manifest = (release / "MANIFEST.json").read_bytes()
    assert hashlib.sha256(manifest).hexdigest() == digest, "CURRENT names another manifest"
    mine = (table + "/", table + ".parquet")
    return [str(release / f["path"]) for f in json.loads(manifest)["files"] if f["path"].startswith(mine)]
