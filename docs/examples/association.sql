-- Genotype to phenotype: type 2 diabetes (201826) by copies of an allele. samples.person_id is the same
-- research id as in the OMOP tables of the tier. A call that is hom-ref has no row in carriers.
WITH dosage AS (
    SELECT s.person_id, coalesce(c.gt, 0) AS copies
    FROM samples s
    LEFT JOIN (
        SELECT c.sample_idx, c.gt
        FROM carriers c
        JOIN variants v USING (chrom, variant_idx)
        WHERE v.vid = 'chr20-10198893-T-C'
    ) c USING (sample_idx)
    WHERE coalesce(c.gt, 0) <= 2
),
cases AS (
    SELECT DISTINCT person_id FROM condition_occurrence WHERE condition_concept_id = 201826
)
SELECT
    d.copies,
    count(*) AS people,
    count(k.person_id) AS with_diabetes,
    round(100 * count(k.person_id) / count(*), 1) AS percent
FROM dosage d
JOIN person p USING (person_id)
LEFT JOIN cases k USING (person_id)
GROUP BY ALL
ORDER BY ALL;
