//! VCF text of the records of the table.

/// Six women, then six men.
pub const NAMES: [&str; 12] =
    ["F1", "F2", "F3", "F4", "F5", "F6", "M1", "M2", "M3", "M4", "M5", "M6"];

/// One line: fields by TAB, `6*0/0` written out.
pub fn line(record: &str) -> String {
    let mut cells = Vec::new();
    for (i, field) in record.split_whitespace().enumerate() {
        match field.split_once('*').filter(|_| i > 8) {
            Some((n, cell)) => {
                let n = n.parse().unwrap_or(0);
                cells.extend(std::iter::repeat_n(cell.to_owned(), n));
            }
            None => cells.push(field.to_owned()),
        }
    }
    cells.join("\t")
}

/// A file of these records, in order of chromosome and position.
pub fn vcf(version: &str, records: &[&str]) -> String {
    let mut text = format!("##fileformat=VCFv{version}\n##FILTER=<ID=q10,Description=\"x\">\n");
    text += "##INFO=<ID=END,Number=1,Type=Integer,Description=\"x\">\n##ALT=<ID=DEL,Description=\"x\">\n";
    for (id, kind) in [("GT", "String"), ("DP", "Integer"), ("GQ", "Float"), ("FT", "String")] {
        text += &format!("##FORMAT=<ID={id},Number=1,Type={kind},Description=\"x\">\n");
    }
    for contig in ["20", "X", "Y", "MT"] {
        text += &format!("##contig=<ID={contig}>\n");
    }
    text += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t";
    text += &NAMES.join("\t");
    text += "\n";
    for record in records {
        text += &line(record);
        text += "\n";
    }
    text
}
