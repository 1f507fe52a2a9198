-- Opens the current release of a store in DuckDB: a view for each table that the other queries use.
-- Say first where the store is:  SET VARIABLE store = 'out/quickstart';
SET VARIABLE release = (
    SELECT getvariable('store') || '/releases/' || split_part(content, ' ', 1)
    FROM read_text(getvariable('store') || '/CURRENT')
);
CREATE OR REPLACE TEMP TABLE manifest AS
SELECT f.path AS path, getvariable('release') || '/' || f.path AS file
FROM (
    SELECT unnest(files) AS f
    FROM read_json(getvariable('release') || '/MANIFEST.json', maximum_object_size = 1000000000)
);
CREATE OR REPLACE MACRO files_of(tbl) AS (
    SELECT list(file ORDER BY file) FROM manifest
    WHERE starts_with(path, tbl || '/') OR path = tbl || '.parquet'
);

SET VARIABLE variants = files_of('controlled/genomics/wgs/variants');
SET VARIABLE genotypes = files_of('controlled/genomics/wgs/genotypes');
SET VARIABLE carriers = files_of('controlled/genomics/wgs/carriers');
SET VARIABLE samples = files_of('controlled/genomics/wgs/samples');
SET VARIABLE person = files_of('controlled/omop/person');
SET VARIABLE condition_occurrence = files_of('controlled/omop/condition_occurrence');
SET VARIABLE concept = files_of('controlled/omop/concept');
SET VARIABLE participant_counts = files_of('public/tables/participant_counts');

CREATE OR REPLACE TEMP VIEW variants AS FROM read_parquet(getvariable('variants'), hive_partitioning = true);
CREATE OR REPLACE TEMP VIEW genotypes AS FROM read_parquet(getvariable('genotypes'), hive_partitioning = true);
CREATE OR REPLACE TEMP VIEW carriers AS FROM read_parquet(getvariable('carriers'), hive_partitioning = true);
CREATE OR REPLACE TEMP VIEW samples AS FROM read_parquet(getvariable('samples'));
CREATE OR REPLACE TEMP VIEW person AS FROM read_parquet(getvariable('person'));
CREATE OR REPLACE TEMP VIEW condition_occurrence AS
FROM read_parquet(getvariable('condition_occurrence'), hive_partitioning = true);
CREATE OR REPLACE TEMP VIEW concept AS FROM read_parquet(getvariable('concept'));
CREATE OR REPLACE TEMP VIEW participant_counts AS FROM read_parquet(getvariable('participant_counts'));
