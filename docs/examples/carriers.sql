-- Who carries a variant, by ancestry. gt: 1 het, 2 hom_alt, 3 hemi_alt (4 half, 5 missing and 6 filtered are no carriers).
-- variant_idx counts from 0 in each chromosome, so joins need chrom too.
SELECT
    s.ancestry,
    count(*) FILTER (WHERE c.gt = 1) AS het,
    count(*) FILTER (WHERE c.gt = 2) AS hom_alt
FROM variants v
JOIN carriers c USING (chrom, variant_idx)
JOIN samples s USING (sample_idx)
WHERE v.vid = 'chr20-10198893-T-C' AND c.gt IN (1, 2, 3)
GROUP BY ALL
ORDER BY ALL;
