"""pyarrow and numpy over the bit planes, pandas over a Registered table."""

import sys

import numpy as np
import pyarrow.dataset as ds

from release import files


def allele_counts(store, group):
    """AC and AN of an ancestry group at every autosomal variant, from the bit planes."""
    wgs = "controlled/genomics/wgs/"
    ancestry = ds.dataset(files(store, wgs + "samples")).to_table(["ancestry"])["ancestry"].to_numpy()
    counts = []
    for batch in ds.dataset(files(store, wgs + "genotypes")).to_batches(columns=["het", "hom_alt"]):
        bits = [np.unpackbits(plane(batch[c]), axis=1, bitorder="little") for c in ("het", "hom_alt")]
        het, hom = (b[:, : len(ancestry)][:, ancestry == group].astype(bool) for b in bits)
        ac = (het & ~hom).sum(1) + 2 * (hom & ~het).sum(1)
        counts.append(np.stack([ac, 2 * (~(het & hom)).sum(1)], axis=1))
    return np.concatenate(counts)


def plane(column):
    """A fixed-size binary column as a matrix of bytes, one row a variant."""
    width = column.type.byte_width
    raw = np.frombuffer(column.buffers()[1], np.uint8)
    return raw[column.offset * width :][: len(column) * width].reshape(-1, width)


def visits_a_year(store):
    """Visits by year in the Registered tier; every person's dates are moved back by 1 to 364 days."""
    visits = ds.dataset(files(store, "registered/omop/visit_occurrence"))
    dates = visits.to_table(["visit_start_date"]).to_pandas()["visit_start_date"]
    return dates.map(lambda day: day.year).value_counts().sort_index()


if __name__ == "__main__":
    counts = allele_counts(sys.argv[1], "eur")
    print(len(counts), "variants,", counts[:, 0].sum(), "copies in eur")
    print(visits_a_year(sys.argv[1]).tail(3))
