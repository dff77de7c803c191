//! Our own metrics as text, version 0.0.4.

use std::fmt::Write;

use super::family::{Family, FamilyKind};
use crate::model::format_float;

/// The `Content-Type` of what [`write_text`] gives.
pub const TEXT_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes `families` in order of name, their points in the order given. Families of one name, from several parts of the
/// program, share the head of the first. A family without points is left out.
pub fn write_text(families: &[Family]) -> String {
    let mut ordered: Vec<&Family> = families.iter().filter(|family| !family.points.is_empty()).collect();
    ordered.sort_by_key(|family| family.name); // stable: equal names keep their order
    let mut out = String::new();
    let mut last_name = "";
    for family in ordered {
        if family.name != last_name {
            write_head(&mut out, family);
            last_name = family.name;
        }
        write_points(&mut out, family);
    }
    out
}

fn write_head(out: &mut String, family: &Family) {
    let kind = match family.kind {
        FamilyKind::Counter => "counter",
        FamilyKind::Gauge => "gauge",
        FamilyKind::Summary => "summary",
    };
    let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
    let _ = writeln!(out, "# HELP {} {help}\n# TYPE {} {kind}", family.name, family.name);
}

fn write_points(out: &mut String, family: &Family) {
    for point in &family.points {
        out.push_str(family.name);
        out.push_str(point.suffix);
        for (index, (name, value)) in point.labels.iter().enumerate() {
            out.push(if index == 0 { '{' } else { ',' });
            out.push_str(name);
            out.push_str("=\"");
            push_escaped(out, value);
            out.push('"');
        }
        if !point.labels.is_empty() {
            out.push('}');
        }
        out.push(' ');
        out.push_str(&format_float(point.value));
        out.push('\n');
    }
}

fn push_escaped(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}
