//! How much of everything there is, by the variable `SIZE`.

/// The amounts of one run.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Metrics in the database.
    pub metrics: u64,
    /// Objects that are deleted and undeleted.
    pub undeleted: usize,
    /// Objects of 16 KB that are copied.
    pub small: usize,
    /// Objects of 16 MB that are copied.
    pub large: usize,
}

impl Size {
    /// The size of a name; nothing if there is none of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "small" => Some(Self { metrics: 100_000, undeleted: 2_000, small: 500, large: 5 }),
            "medium" => Some(Self { metrics: 1_000_000, undeleted: 10_000, small: 5_000, large: 50 }),
            "" | "full" => Some(Self { metrics: 3_000_000, undeleted: 100_000, small: 20_000, large: 200 }),
            _ => None,
        }
    }
}
