"""Answers, modules and physical measurements of the Controlled tier, made anew by SQL from its own
observations, surveys and measurements and the vocabulary of the feed; prints rows there and here, and how
many differ. Usage: survey.py <tier folder> <vocabulary folder>"""

import sys

import duckdb

tier, vocabulary = sys.argv[1:]
db = duckdb.connect()


def table(name):
    return f"read_parquet('{tier}/omop/{name}/**/*.parquet', hive_partitioning = false)"


for name in ("CONCEPT", "CONCEPT_RELATIONSHIP"):
    file = f"{vocabulary}/{name}.csv"
    db.sql(f"CREATE TABLE {name} AS SELECT * FROM read_csv('{file}', delim = '\t', quote = '', header = true)")
db.sql("""CREATE TABLE question AS
SELECT q.concept_id, q.concept_name, r.concept_id_2 AS module, m.concept_name AS survey
FROM CONCEPT q JOIN CONCEPT_RELATIONSHIP r ON r.concept_id_1 = q.concept_id AND r.relationship_id = 'Has PPI parent code'
JOIN CONCEPT m ON m.concept_id = r.concept_id_2
WHERE q.vocabulary_id = 'PPI' AND q.concept_class_id = 'Question'""")
db.sql(f"""CREATE TABLE answer AS
SELECT DISTINCT o.person_id, o.observation_datetime AS time, q.survey, q.concept_id AS question, q.concept_name AS asked,
  nullif(o.value_as_concept_id, 0) AS answer, a.concept_name AS said, q.module, o.value_as_number AS number
FROM {table('observation')} o JOIN question q ON o.observation_source_concept_id = q.concept_id
LEFT JOIN CONCEPT a ON a.concept_id = nullif(o.value_as_concept_id, 0)
WHERE nullif(o.value_as_concept_id, 0) IS NOT NULL OR o.value_as_number IS NOT NULL""")

ANSWER = "SELECT *, row_number() OVER (PARTITION BY person_id, time, question ORDER BY answer) AS place FROM answer"
MODULE = f"""
WITH conduct AS (
  SELECT c.person_id, coalesce(m.module, c.survey_concept_id) AS module, min(survey_end_date) AS first, max(survey_end_date) AS last, count(*) AS n
  FROM {table('survey_conduct')} c LEFT JOIN (SELECT 2100000002 AS version, 1333342 AS module) m ON c.survey_concept_id = m.version
  GROUP BY 1, 2
), said AS (
  SELECT person_id, module, question,
    max(CASE answer WHEN 903096 THEN 0 WHEN 903079 THEN 1 WHEN 903087 THEN 2 ELSE 3 END) AS said
  FROM answer GROUP BY 1, 2, 3
)
SELECT person_id, c.module, first, last, n, count(s.question), count(*) FILTER (said = 3), count(*) FILTER (said = 0),
  count(*) FILTER (said = 1), count(*) FILTER (said = 2)
FROM conduct c LEFT JOIN said s USING (person_id, module) GROUP BY 1, 2, 3, 4, 5"""
PHYSICAL = f"""
SELECT person_id, measurement_datetime, measurement_source_concept_id, c.concept_name, avg(value_as_number), unit_concept_id, u.concept_name, count(*)
FROM {table('measurement')} m LEFT JOIN CONCEPT c ON c.concept_id = measurement_source_concept_id
LEFT JOIN CONCEPT u ON u.concept_id = unit_concept_id
WHERE measurement_source_concept_id IN (903115, 903118, 903121, 903124, 903126, 903133, 903135, 903136) AND value_as_number IS NOT NULL
GROUP BY ALL"""
OURS = {
    "survey_answer": "person_id, survey_datetime, survey, question_concept_id, question, answer_concept_id, answer, survey_concept_id, value_as_number, answer_number",
    "survey_module": "person_id, survey_concept_id, first_survey_date, last_survey_date, completion_count, question_count, answered_count, skip_count, prefer_not_to_answer_count, dont_know_count",
    "physical_measurement": "person_id, measurement_datetime, measurement_concept_id, measurement, value_as_number, unit_concept_id, unit_concept_name, reading_count",
}
for name, sql in (("survey_answer", ANSWER), ("survey_module", MODULE), ("physical_measurement", PHYSICAL)):
    theirs = db.sql(sql).fetchall()
    ours = db.sql(f"SELECT {OURS[name]} FROM {table(name)}").fetchall()
    print(name, len(theirs), len(ours), len(set(theirs) ^ set(ours)))
