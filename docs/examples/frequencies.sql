-- Allele frequencies in any set of people, from the bit planes (autosomes). Bit i of a plane, least
-- significant first in each byte, is sample_idx i; het and hom_alt both set means not called.
SET VARIABLE mask = (
    SELECT string_agg(if(s.ancestry = 'eur' AND s.sex = 'female', '1', '0'), '' ORDER BY p)::BIT
    FROM (SELECT unnest(range(8 * (SELECT max(octet_length(het)) FROM genotypes))) AS p)
    LEFT JOIN samples s ON s.sample_idx = 8 * (p // 8) + 7 - p % 8
);
WITH planes AS (
    SELECT
        chrom,
        variant_idx,
        het::BIT & getvariable('mask') AS het,
        hom_alt::BIT & getvariable('mask') AS hom
    FROM genotypes
),
counts AS (
    SELECT
        chrom,
        variant_idx,
        bit_count(het & ~hom) + 2 * bit_count(hom & ~het) AS ac,
        2 * (bit_count(getvariable('mask')) - bit_count(het & hom)) AS an
    FROM planes
)
SELECT v.vid, c.ac, c.an, round(c.ac / c.an, 4) AS af, round(v.af, 4) AS af_of_all
FROM counts c
JOIN variants v USING (chrom, variant_idx)
ORDER BY c.ac / c.an DESC, v.vid
LIMIT 5;
