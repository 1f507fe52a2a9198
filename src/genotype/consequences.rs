//! The `consequences` table: the consequences of a variant as VEP or snpEff stated them, one row each, and
//! the columns of `variants` that sum them up.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::arrow_writer::ArrowColumnChunk;

use super::Error;
use super::assemble::{Group, RowRef};
use super::consequence::rank;
use super::csq::{Entry, Format, pick};
use super::tables::Table;

/// The table's name.
pub const TABLE: &str = "consequences";

/// Columns of the table.
pub fn schema() -> Schema {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let must = |name: &str, ty| Field::new(name, ty, false);
    let mut fields = vec![
        must("variant_idx", DataType::Int32),
        must("pos", DataType::Int32),
        text("consequence"),
        must("terms", DataType::new_list(DataType::Utf8, true)),
    ];
    fields.extend(["impact", "gene", "gene_id", "transcript", "biotype"].map(text));
    fields.push(must("canonical", DataType::Boolean));
    fields.extend(["mane_select", "hgvsc", "hgvsp"].map(text));
    fields.push(must("picked", DataType::Boolean));
    Schema::new(fields)
}

/// Columns of `variants`.
pub fn variant_fields() -> Vec<Field> {
    ["worst_consequence", "gene"].map(|name| Field::new(name, DataType::Utf8, true)).to_vec()
}

fn entries(format: &Format, at: &RowRef) -> Vec<Entry> {
    let shard = &at.shard.rows;
    format.entries(shard.text(shard.rows[at.row as usize].consequences))
}

/// The most severe term of all entries, and the gene of the picked one.
pub fn variant_columns(format: &Format, group: &Group) -> Vec<ArrayRef> {
    let (mut worst, mut gene) = (StringBuilder::new(), StringBuilder::new());
    for at in &group.rows {
        let entries = entries(format, at);
        worst.append_option(entries.iter().filter_map(Entry::worst).min_by_key(|t| rank(t)));
        gene.append_option(pick(&entries).and_then(|i| entries[i].texts[1].as_deref()));
    }
    vec![Arc::new(worst.finish()), Arc::new(gene.finish())]
}

/// The table's rows of a row group.
pub fn encode(
    table: &Table,
    format: &Format,
    group: &Group,
) -> Result<Vec<(u64, Vec<ArrowColumnChunk>)>, Error> {
    let (mut idx, mut pos, mut picked, mut all) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (i, at) in group.rows.iter().enumerate() {
        let entries = entries(format, at);
        let best = pick(&entries);
        for (e, entry) in entries.into_iter().enumerate() {
            idx.push(group.first_idx + i as i32);
            pos.push(at.shard.rows.rows[at.row as usize].pos);
            picked.push(best == Some(e));
            all.push(entry);
        }
    }
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let mut terms = ListBuilder::new(StringBuilder::new());
    for entry in &all {
        entry.terms.iter().for_each(|t| terms.values().append_value(t));
        terms.append(true);
    }
    let text = |get: &dyn Fn(&Entry) -> Option<String>| -> ArrayRef {
        Arc::new(all.iter().map(get).collect::<StringArray>())
    };
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(idx)),
        Arc::new(Int32Array::from(pos)),
        text(&|e| e.worst().map(str::to_owned)),
        Arc::new(terms.finish()),
    ];
    arrays.extend((0..5).map(|k| text(&|e| e.texts[k].clone())));
    arrays.push(Arc::new(all.iter().map(|e| Some(e.canonical)).collect::<BooleanArray>()));
    arrays.extend((0..3).map(|k| text(&|e| e.names[k].clone())));
    arrays.push(Arc::new(BooleanArray::from(picked)));
    Ok(vec![(all.len() as u64, table.encode(&arrays)?)])
}
