-- A public table: everything in it has been through disclosure control. 0 means 0 to 19 people, 20 means
-- 1 to 39, n means n - 19 to n + 19.
SELECT concept_name, category, participants
FROM participant_counts
WHERE domain_table = 'condition_occurrence' AND concept_id = 201826 AND stratum IN ('total', 'sex')
ORDER BY stratum DESC, category;
