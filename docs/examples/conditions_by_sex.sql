-- People with a condition at least once, by sex. Exact: this is the Controlled tier.
SELECT
    k.concept_name,
    count(DISTINCT o.person_id) FILTER (WHERE p.gender_concept_id = 8532) AS female,
    count(DISTINCT o.person_id) FILTER (WHERE p.gender_concept_id = 8507) AS male
FROM condition_occurrence o
JOIN person p USING (person_id)
JOIN concept k ON k.concept_id = o.condition_concept_id
GROUP BY ALL
ORDER BY female + male DESC, k.concept_name
LIMIT 5;
