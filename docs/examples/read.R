# R with the arrow package. Not exercised in CI.
library(arrow)
library(dplyr)
library(jsonlite)

files <- function(store, table) {
  current <- strsplit(readLines(file.path(store, "CURRENT"), n = 1), " ")[[1]]
  release <- file.path(store, "releases", current[1])
  paths <- fromJSON(file.path(release, "MANIFEST.json"))$files$path
  mine <- startsWith(paths, paste0(table, "/")) | paths == paste0(table, ".parquet")
  file.path(release, paths[mine])
}

store <- "out/quickstart"
# Research ids have 63 bits and R's numbers 53: keep person_id as integer64, never as double.
options(arrow.int64_downcast = FALSE)
conditions <- open_dataset(files(store, "controlled/omop/condition_occurrence"))
person <- open_dataset(files(store, "controlled/omop/person"))
conditions |>
  inner_join(person |> select(person_id, gender_concept_id), by = "person_id") |>
  distinct(person_id, condition_concept_id, gender_concept_id) |>
  count(condition_concept_id, gender_concept_id) |>
  arrange(desc(n)) |>
  collect()
