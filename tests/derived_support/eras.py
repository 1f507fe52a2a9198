"""Eras by the scripts of the OMOP CDM (condition_era, drug_era non-stockpile) in DuckDB, and the program's
own, compared row by row.

    python3 eras.py TYPED DERIVED: folders of Parquet tables
"""

import sys
import duckdb

typed, derived = sys.argv[1:]
db = duckdb.connect()
for table in ("condition_occurrence", "drug_exposure", "concept", "concept_ancestor"):
    db.sql(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{typed}/{table}.parquet')")

# https://ohdsi.github.io/CommonDataModel/sqlScripts.html, date functions as DuckDB has them.
CONDITION = """
WITH target AS (
  SELECT condition_occurrence_id AS rowid_, person_id, condition_concept_id, condition_start_date,
         coalesce(condition_end_date, condition_start_date + 1) AS condition_end_date
  FROM condition_occurrence WHERE condition_concept_id != 0
), ends AS (
  SELECT person_id, condition_concept_id, event_date - 30 AS end_date FROM (
    SELECT person_id, condition_concept_id, event_date, event_type,
      max(start_ordinal) OVER (PARTITION BY person_id, condition_concept_id ORDER BY event_date, event_type ROWS UNBOUNDED PRECEDING) AS start_ordinal,
      row_number() OVER (PARTITION BY person_id, condition_concept_id ORDER BY event_date, event_type) AS overall_ord
    FROM (
      SELECT person_id, condition_concept_id, condition_start_date AS event_date, -1 AS event_type,
        row_number() OVER (PARTITION BY person_id, condition_concept_id ORDER BY condition_start_date) AS start_ordinal
      FROM target
      UNION ALL
      SELECT person_id, condition_concept_id, condition_end_date + 30, 1, NULL FROM target
    )
  ) WHERE 2 * start_ordinal - overall_ord = 0
), matched AS (
  SELECT c.person_id, c.condition_concept_id, c.condition_start_date, min(e.end_date) AS era_end_date
  FROM target c JOIN ends e ON c.person_id = e.person_id AND c.condition_concept_id = e.condition_concept_id AND e.end_date >= c.condition_start_date
  GROUP BY c.person_id, c.condition_concept_id, c.condition_start_date, c.condition_end_date, c.rowid_
)
SELECT person_id, condition_concept_id, min(condition_start_date), era_end_date, count(*)
FROM matched GROUP BY person_id, condition_concept_id, era_end_date ORDER BY ALL
"""
DRUG = """
WITH target AS (
  SELECT d.drug_exposure_id, d.person_id, c.concept_id AS ingredient_concept_id, d.drug_exposure_start_date AS start_date,
    coalesce(d.drug_exposure_end_date, nullif(d.drug_exposure_start_date + d.days_supply::INT, d.drug_exposure_start_date), d.drug_exposure_start_date + 1) AS end_date
  FROM drug_exposure d
  JOIN concept_ancestor ca ON ca.descendant_concept_id = d.drug_concept_id
  JOIN concept c ON ca.ancestor_concept_id = c.concept_id
  WHERE c.vocabulary_id = 'RxNorm' AND c.concept_class_id = 'Ingredient' AND d.drug_concept_id != 0 AND coalesce(d.days_supply, 0) >= 0
), sub_ends AS (
  SELECT person_id, ingredient_concept_id, event_date AS end_date FROM (
    SELECT person_id, ingredient_concept_id, event_date, event_type,
      max(start_ordinal) OVER (PARTITION BY person_id, ingredient_concept_id ORDER BY event_date, event_type ROWS UNBOUNDED PRECEDING) AS start_ordinal,
      row_number() OVER (PARTITION BY person_id, ingredient_concept_id ORDER BY event_date, event_type) AS overall_ord
    FROM (
      SELECT person_id, ingredient_concept_id, start_date AS event_date, -1 AS event_type,
        row_number() OVER (PARTITION BY person_id, ingredient_concept_id ORDER BY start_date) AS start_ordinal FROM target
      UNION ALL
      SELECT person_id, ingredient_concept_id, end_date, 1, NULL FROM target
    )
  ) WHERE 2 * start_ordinal - overall_ord = 0
), exposure_ends AS (
  SELECT t.person_id, t.ingredient_concept_id, t.start_date, min(e.end_date) AS end_date
  FROM target t JOIN sub_ends e ON t.person_id = e.person_id AND t.ingredient_concept_id = e.ingredient_concept_id AND e.end_date >= t.start_date
  GROUP BY t.drug_exposure_id, t.person_id, t.ingredient_concept_id, t.start_date
), sub AS (
  SELECT person_id, ingredient_concept_id, min(start_date) AS start_date, end_date, count(*) AS n
  FROM exposure_ends GROUP BY person_id, ingredient_concept_id, end_date
), ends AS (
  SELECT person_id, ingredient_concept_id, event_date - 30 AS end_date FROM (
    SELECT person_id, ingredient_concept_id, event_date, event_type,
      max(start_ordinal) OVER (PARTITION BY person_id, ingredient_concept_id ORDER BY event_date, event_type ROWS UNBOUNDED PRECEDING) AS start_ordinal,
      row_number() OVER (PARTITION BY person_id, ingredient_concept_id ORDER BY event_date, event_type) AS overall_ord
    FROM (
      SELECT person_id, ingredient_concept_id, start_date AS event_date, -1 AS event_type,
        row_number() OVER (PARTITION BY person_id, ingredient_concept_id ORDER BY start_date) AS start_ordinal FROM sub
      UNION ALL
      SELECT person_id, ingredient_concept_id, end_date + 30, 1, NULL FROM sub
    )
  ) WHERE 2 * start_ordinal - overall_ord = 0
), eras AS (
  SELECT s.person_id, s.ingredient_concept_id, s.start_date, min(e.end_date) AS era_end, s.n, s.end_date - s.start_date AS days
  FROM sub s JOIN ends e ON s.person_id = e.person_id AND s.ingredient_concept_id = e.ingredient_concept_id AND e.end_date >= s.start_date
  GROUP BY s.person_id, s.ingredient_concept_id, s.start_date, s.end_date, s.n
)
SELECT person_id, ingredient_concept_id, min(start_date), era_end, sum(n)::BIGINT, ((era_end - min(start_date)) - sum(days))::BIGINT
FROM eras GROUP BY person_id, ingredient_concept_id, era_end ORDER BY ALL
"""

OURS = {
    "condition_era": "person_id, condition_concept_id, condition_era_start_date, condition_era_end_date, condition_occurrence_count",
    "drug_era": "person_id, drug_concept_id, drug_era_start_date, drug_era_end_date, drug_exposure_count, gap_days",
}
for table, sql in (("condition_era", CONDITION), ("drug_era", DRUG)):
    theirs = db.sql(sql).fetchall()
    ours = db.sql(f"SELECT {OURS[table]} FROM read_parquet('{derived}/{table}/*.parquet') ORDER BY ALL").fetchall()
    differ = len(set(theirs) ^ set(ours))
    print(table, len(theirs), len(ours), differ)
