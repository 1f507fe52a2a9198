"""Spark: people with a condition by sex. Not exercised in CI. `spark-submit docs/examples/spark_query.py STORE`."""

import os
import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

from release import files


def main(store):
    spark = SparkSession.builder.appName("strata").getOrCreate()
    store = os.path.abspath(store)

    def table(name):
        # basePath keeps the Hive partition columns (chrom, person_bucket), which are not in the files.
        paths = ["file://" + p for p in files(store, name)]
        base = paths[0].split("/" + name + "/")[0] + "/" + name
        return spark.read.option("basePath", base).parquet(*paths)

    conditions = table("controlled/omop/condition_occurrence")
    person = table("controlled/omop/person").select("person_id", "gender_concept_id")
    by_sex = conditions.join(person, "person_id").groupBy("condition_concept_id", "gender_concept_id")
    by_sex.agg(f.countDistinct("person_id").alias("people")).orderBy(f.desc("people")).show(5)


if __name__ == "__main__":
    main(sys.argv[1])
