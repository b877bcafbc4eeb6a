//! The directives `*_store` and `*_store_access`.
use conf::switch::Switch;
use http::Complex;

/// Where a response goes.
#[derive(Clone)]
pub enum Target {
    /// Where the URI would be looked for as a file.
    Mapped,
    /// A path.
    Path(Complex),
}

/// The directives of one block.
#[derive(Clone, Default)]
pub struct StoreConf {
    /// `*_store`; the inner `None` is `off`
    pub target: Option<Switch<Target>>,
    /// `*_store_access`
    pub access: Option<u32>,
}

/// The merged settings of a location that makes files.
pub struct StorePlan {
    /// Where they go.
    pub target: Target,
    /// Their permissions.
    pub access: u32,
}

impl StoreConf {
    /// Takes over what this block does not say.
    pub fn inherit(&mut self, parent: &StoreConf) {
        conf::inherit!(self, parent; target, access);
    }

    /// The plan, if answers become files.
    #[must_use]
    pub fn plan(&self) -> Option<StorePlan> {
        let target = self.target.clone()?.on()?;
        Some(StorePlan { target, access: self.access.unwrap_or(0o600) })
    }
}
