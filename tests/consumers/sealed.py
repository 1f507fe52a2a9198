"""Reads the sealed tables of a tier with pyarrow and with DuckDB, as the README says.

usage: sealed.py KEYS_JSON KEYS_SQL PLAIN: both must return the rows of the release PLAIN, which is not sealed.
"""

import base64
import glob
import json
import os
import sys

import duckdb
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

keys_json, keys_sql, plain = sys.argv[1:]
keys = json.load(open(keys_json))
rows = {}
for file in keys["files"]:
    key = base64.b64decode(file["key"])
    path = os.path.join(keys["folder"], file["path"])
    found = pq.ParquetFile(path, decryption_properties=pe.create_decryption_properties(footer_key=key)).read()
    expected = pq.ParquetFile(os.path.join(plain, file["path"])).read()
    assert found.equals(expected), f"pyarrow reads other rows of {file['path']}"
    try:
        pq.ParquetFile(path).read()
    except Exception:
        pass
    else:
        sys.exit("pyarrow reads it without a key")

con = duckdb.connect()
con.execute(open(keys_sql).read())
views = [v for (v,) in con.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()]
plain_con = duckdb.connect()
for view in sorted(views):
    parts = view.split("_", 1) if not glob.glob(f"{plain}/*/*/{view}") else [view]
    files = glob.glob(os.path.join(plain, keys["tier"], "*", *parts, "**", "*.parquet"), recursive=True)
    columns = ", ".join(f'"{c[0]}"' for c in con.execute(f'DESCRIBE "{view}"').fetchall())
    expected = plain_con.execute(
        f"SELECT {columns} FROM read_parquet(?, hive_partitioning = true, union_by_name = true) ORDER BY ALL", [sorted(files)]
    ).fetchall()
    assert con.execute(f'SELECT * FROM "{view}" ORDER BY ALL').fetchall() == expected, f"DuckDB reads other rows of {view}"
try:
    con.execute("SELECT count(*) FROM read_parquet(?)", [path]).fetchall()
except Exception:
    print(f"{len(views)} tables are the same")
else:
    sys.exit("DuckDB reads it without a key")
