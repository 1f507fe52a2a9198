#!/usr/bin/env python3
"""Writes the Parquet tables of a store's callset again with pyarrow; the seconds that writing takes go to stderr.

Reading is not counted; tables are written with zstd level 1 and plain or delta encodings, two at a time.
"""

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq

files = sorted(Path(sys.argv[1]).glob("releases/*/controlled/genomics/*/*/chrom=*/*.parquet"))
tables = [(pq.ParquetFile(f).read(), i) for i, f in enumerate(files)]
with tempfile.TemporaryDirectory() as folder:
    start = time.perf_counter()

    def write(item):
        table, i = item
        ints = [f.name for f in table.schema if str(f.type) in ("int32", "int64")]
        pq.write_table(table, f"{folder}/{i}", compression="zstd", compression_level=1, use_dictionary=False,
                       column_encoding={n: "DELTA_BINARY_PACKED" for n in ints})

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, tables))
    print(time.perf_counter() - start, file=sys.stderr)
