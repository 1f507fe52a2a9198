//! The clinical tables as Achilles numbers them, as data.

/// A distribution over the records of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spread {
    pub analysis: u16,
    /// Column of the value; of an era `end - start` when [`Spread::span`].
    pub column: &'static str,
    /// Whether the unit is the second stratum.
    pub by_unit: bool,
    /// Whether the value is the days from the start to the date in the column.
    pub span: bool,
}

/// One clinical table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Domain {
    /// Hundreds of its analyses: 200 for visits.
    pub base: u16,
    pub table: &'static str,
    pub concept: &'static str,
    pub date: &'static str,
    /// End of the record where an analysis counts ends before starts.
    pub end: Option<(u16, &'static str)>,
    /// Records by concept and a second concept.
    pub pairs: &'static [(u16, &'static str)],
    pub spreads: &'static [Spread],
    /// Bit of a person with a record, in or out of observation, for analysis 2004.
    pub any: u16,
    /// Bit of a person with a record in observation, for analyses 2000 to 2003.
    pub inside: u16,
}

/// Bit of a person with a death, in or out of observation.
pub(super) const DEATH: u16 = 1 << 2;
pub(super) const CONDITION: u16 = 1 << 8;
pub(super) const DRUG: u16 = 1 << 9;
pub(super) const PROCEDURE: u16 = 1 << 10;
pub(super) const MEASUREMENT: u16 = 1 << 11;
pub(super) const VISIT: u16 = 1 << 12;

const fn of(column: &'static str, analysis: u16) -> Spread {
    Spread { analysis, column, by_unit: false, span: false }
}
const fn by_unit(column: &'static str, analysis: u16) -> Spread {
    Spread { analysis, column, by_unit: true, span: false }
}
const fn span(column: &'static str, analysis: u16) -> Spread {
    Spread { analysis, column, by_unit: false, span: true }
}

const NONE: Domain = Domain {
    base: 0,
    table: "",
    concept: "",
    date: "",
    end: None,
    pairs: &[],
    spreads: &[],
    any: 0,
    inside: 0,
};

/// All domains. Which analyses of a domain exist, the catalogue says.
pub(super) const DOMAINS: &[Domain] = &[
    Domain {
        base: 200,
        table: "visit_occurrence",
        concept: "visit_concept_id",
        date: "visit_start_date",
        end: Some((211, "visit_end_date")),
        inside: VISIT,
        ..NONE
    },
    Domain {
        base: 400,
        table: "condition_occurrence",
        concept: "condition_concept_id",
        date: "condition_start_date",
        pairs: &[(405, "condition_type_concept_id")],
        any: 1 << 6,
        inside: CONDITION,
        ..NONE
    },
    Domain {
        base: 500,
        table: "death",
        concept: "cause_concept_id",
        date: "death_date",
        pairs: &[(505, "death_type_concept_id")],
        any: DEATH,
        ..NONE
    },
    Domain {
        base: 600,
        table: "procedure_occurrence",
        concept: "procedure_concept_id",
        date: "procedure_date",
        pairs: &[(605, "procedure_type_concept_id")],
        any: 1 << 1,
        inside: PROCEDURE,
        ..NONE
    },
    Domain {
        base: 700,
        table: "drug_exposure",
        concept: "drug_concept_id",
        date: "drug_exposure_start_date",
        pairs: &[(705, "drug_type_concept_id")],
        spreads: &[of("days_supply", 715), of("refills", 716), of("quantity", 717)],
        any: 1 << 5,
        inside: DRUG,
        ..NONE
    },
    Domain {
        base: 800,
        table: "observation",
        concept: "observation_concept_id",
        date: "observation_date",
        pairs: &[
            (805, "observation_type_concept_id"),
            (807, "unit_concept_id"),
            (822, "value_as_concept_id"),
            (823, "qualifier_concept_id"),
        ],
        spreads: &[by_unit("value_as_number", 815)],
        any: 1,
        ..NONE
    },
    Domain {
        base: 900,
        table: "drug_era",
        concept: "drug_concept_id",
        date: "drug_era_start_date",
        spreads: &[span("drug_era_end_date", 907)],
        ..NONE
    },
    Domain {
        base: 1000,
        table: "condition_era",
        concept: "condition_concept_id",
        date: "condition_era_start_date",
        spreads: &[span("condition_era_end_date", 1007)],
        ..NONE
    },
    Domain {
        base: 1300,
        table: "visit_detail",
        concept: "visit_detail_concept_id",
        date: "visit_detail_start_date",
        ..NONE
    },
    Domain {
        base: 1800,
        table: "measurement",
        concept: "measurement_concept_id",
        date: "measurement_date",
        pairs: &[
            (1805, "measurement_type_concept_id"),
            (1807, "unit_concept_id"),
            (1822, "value_as_concept_id"),
            (1823, "operator_concept_id"),
        ],
        spreads: &[
            by_unit("value_as_number", 1815),
            by_unit("range_low", 1816),
            by_unit("range_high", 1817),
        ],
        any: 1 << 3,
        inside: MEASUREMENT,
        ..NONE
    },
    Domain {
        base: 2100,
        table: "device_exposure",
        concept: "device_concept_id",
        date: "device_exposure_start_date",
        pairs: &[(2105, "device_type_concept_id")],
        any: 1 << 4,
        ..NONE
    },
];
