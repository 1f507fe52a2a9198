"""Polars: people with a condition by sex, and carriers of a variant."""

import sys

import polars as pl

from release import files


def table(store, name):
    return pl.scan_parquet(files(store, name), hive_partitioning=True)


def conditions_by_sex(store):
    conditions = table(store, "controlled/omop/condition_occurrence")
    person = table(store, "controlled/omop/person").select("person_id", "gender_concept_id")
    concept = table(store, "controlled/omop/concept").select("concept_id", "concept_name")
    people = pl.col("person_id")
    return (
        conditions.join(person, on="person_id")
        .join(concept, left_on="condition_concept_id", right_on="concept_id")
        .group_by("concept_name")
        .agg(
            female=people.filter(pl.col("gender_concept_id") == 8532).n_unique(),
            male=people.filter(pl.col("gender_concept_id") == 8507).n_unique(),
        )
        .sort([pl.col("female") + pl.col("male"), "concept_name"], descending=[True, False])
        .head(5)
        .collect()
    )


def carriers(store, vid):
    wgs = "controlled/genomics/wgs/"
    variant = table(store, wgs + "variants").filter(pl.col("vid") == vid)
    return (
        variant.select("chrom", "variant_idx")
        .join(table(store, wgs + "carriers"), on=["chrom", "variant_idx"])
        .filter(pl.col("gt") <= 3)
        .join(table(store, wgs + "samples"), on="sample_idx")
        .select("person_id", "ancestry", "gt")
        .collect()
    )


if __name__ == "__main__":
    print(conditions_by_sex(sys.argv[1]))
    print(carriers(sys.argv[1], "chr20-10198893-T-C").height, "carriers")
