//! Selected INFO fields as typed columns.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float32Builder, Int32Builder, ListBuilder, StringBuilder, StructArray,
};
use arrow::datatypes::{DataType, Field, Fields};

use super::Error;
use super::header::{InfoNumber, InfoType};
use super::shard::info_value;
use super::source::Source;

/// A selected field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InfoField {
    /// INFO id.
    pub id: String,
    number: InfoNumber,
    ty: InfoType,
}

/// What a row needs to pick its values.
pub struct InfoRow<'a> {
    /// INFO column.
    pub text: &'a [u8],
    /// 1-based ordinal of the allele.
    pub allele: usize,
    /// ALT alleles of the record.
    pub alleles: usize,
}

/// Finds the selected fields in the headers, and how many are left out (`Number=G`).
///
/// # Errors
/// A field that a header lacks or that two headers define differently.
pub fn select(ids: &[String], sources: &[Source]) -> Result<(Vec<InfoField>, u64), Error> {
    let mut fields = Vec::new();
    let mut skipped = 0;
    for id in ids {
        let mut known = None;
        for source in sources {
            let file = || source.path.clone();
            let found = source.header.info.get(id);
            let Some(&found) = found else {
                return Err(Error::UnknownInfo { file: file(), field: id.clone() });
            };
            if *known.get_or_insert(found) != found {
                return Err(Error::InfoMismatch { file: file(), field: id.clone() });
            }
        }
        match known {
            Some((InfoNumber::PerGenotype, _)) => skipped += 1,
            Some((number, ty)) if !fields.iter().any(|f: &InfoField| f.id == *id) => {
                fields.push(InfoField { id: id.clone(), number, ty });
            }
            _ => {}
        }
    }
    Ok((fields, skipped))
}

/// The Arrow fields of the `info` struct.
pub fn arrow_fields(fields: &[InfoField]) -> Fields {
    fields
        .iter()
        .map(|f| {
            let item = match f.ty {
                InfoType::Integer => DataType::Int32,
                InfoType::Float => DataType::Float32,
                InfoType::Flag => DataType::Boolean,
                InfoType::Text => DataType::Utf8,
            };
            let ty = match f.number {
                InfoNumber::Many => DataType::new_list(item, true),
                _ => item,
            };
            Field::new(&f.id, ty, true)
        })
        .collect()
}

/// The `info` struct of `rows`.
pub fn column(fields: &[InfoField], rows: &[InfoRow<'_>]) -> ArrayRef {
    let arrays = fields.iter().map(|f| f.array(rows)).collect();
    Arc::new(StructArray::new(arrow_fields(fields), arrays, None))
}

macro_rules! typed {
    ($field:expr, $rows:expr, $builder:ty, $parse:expr) => {{
        if $field.number == InfoNumber::Many {
            let mut list = ListBuilder::new(<$builder>::new());
            for row in $rows {
                match info_value(row.text, $field.id.as_bytes()).filter(|v| *v != b".") {
                    Some(value) => {
                        for item in value.split(|&b| b == b',') {
                            list.values().append_option($parse(item));
                        }
                        list.append(true);
                    }
                    None => list.append(false),
                }
            }
            Arc::new(list.finish()) as ArrayRef
        } else {
            let mut builder = <$builder>::new();
            for row in $rows {
                builder.append_option($field.pick(row).and_then($parse));
            }
            Arc::new(builder.finish()) as ArrayRef
        }
    }};
}

impl InfoField {
    fn array(&self, rows: &[InfoRow<'_>]) -> ArrayRef {
        match self.ty {
            InfoType::Integer => typed!(self, rows, Int32Builder, number::<i32>),
            InfoType::Float => typed!(self, rows, Float32Builder, number::<f32>),
            InfoType::Text => typed!(self, rows, StringBuilder, text),
            InfoType::Flag => {
                let mut builder = BooleanBuilder::new();
                for row in rows {
                    builder.append_value(info_value(row.text, self.id.as_bytes()).is_some());
                }
                Arc::new(builder.finish())
            }
        }
    }

    /// The value for the row's allele; null when the record has the wrong number of values.
    fn pick<'a>(&self, row: &InfoRow<'a>) -> Option<&'a [u8]> {
        let value = info_value(row.text, self.id.as_bytes())?;
        let nth = |at: usize, of: usize| {
            let parts = || value.split(|&b| b == b',');
            (parts().count() == of).then(|| parts().nth(at)).flatten()
        };
        match self.number {
            InfoNumber::PerAlt => nth(row.allele - 1, row.alleles),
            InfoNumber::PerAllele => nth(row.allele, row.alleles + 1),
            _ => Some(value),
        }
    }
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn text(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text).ok().filter(|t| *t != ".")
}
