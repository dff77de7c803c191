//! Our own metrics as values, ready to be written.

/// The type of a metric family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FamilyKind {
    /// Only grows; the name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Quantiles, `_sum` and `_count`.
    Summary,
}

/// One value of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Appended to the family's name: empty, `_sum` or `_count`.
    pub suffix: &'static str,
    /// Labels in the order they are written.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: f64,
}

/// A metric family of our own. Each part of the program offers `collect(&self, families: &mut Vec<Family>)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Full name, the `_total` of counters included.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Its type.
    pub kind: FamilyKind,
    /// Its values.
    pub points: Vec<Point>,
}

impl Family {
    /// A family with one value and no labels.
    pub fn single(name: &'static str, help: &'static str, kind: FamilyKind, value: f64) -> Self {
        let point = Point { suffix: "", labels: Vec::new(), value };
        Family { name, help, kind, points: vec![point] }
    }

    /// A family without values yet.
    pub fn new(name: &'static str, help: &'static str, kind: FamilyKind) -> Self {
        Family { name, help, kind, points: Vec::new() }
    }

    /// Adds a value with labels.
    pub fn point(&mut self, labels: Vec<(&'static str, String)>, value: f64) -> &mut Self {
        self.points.push(Point { suffix: "", labels, value });
        self
    }
}
