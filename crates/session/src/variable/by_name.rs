//! Variables by their names, which the configuration need not mention: what `ngx.var` and SSI use.

use super::{CHANGEABLE, Get, Session, VarIndex, Variables, find_family, get_flushed};

/// A variable that was looked up by its name.
pub struct Named<S>(Lookup<S>);

impl<S> Clone for Named<S> {
    fn clone(&self) -> Self {
        Named(match &self.0 {
            Lookup::Indexed(index) => Lookup::Indexed(*index),
            Lookup::Getter(get) => Lookup::Getter(get.clone()),
            Lookup::Unknown => Lookup::Unknown,
        })
    }
}

enum Lookup<S> {
    Indexed(VarIndex),
    Getter(Get<S>),
    Unknown,
}

impl<S: Session> Variables<S> {
    /// The index of a variable (lower-case) that the configuration mentions.
    pub fn mentioned(&self, name: &str) -> Option<VarIndex> {
        self.by_name.get(name).copied()
    }

    /// Looks a variable up by its name (lower-case), which the configuration need not mention.
    pub fn look_up(&self, name: &str) -> Named<S> {
        if let Some(index) = self.by_name.get(name) {
            return Named(Lookup::Indexed(*index));
        }
        let getter = match self.definitions.get(name) {
            Some(definition) => definition.get.clone(),
            None => find_family(&self.families, name).map(|(get, _)| get),
        };
        Named(getter.map_or(Lookup::Unknown, Lookup::Getter))
    }
}

/// Appends the value of a variable that was looked up. False: not found.
pub fn get_named<S: Session>(session: &S, named: &Named<S>, out: &mut Vec<u8>) -> bool {
    match &named.0 {
        Lookup::Indexed(index) => get_flushed(session, *index, out),
        Lookup::Getter(get) => get(session, out),
        Lookup::Unknown => false,
    }
}

/// Appends the value of the variable called `name` (lower-case), indexed or not. False: not found.
pub fn get_by_name<S: Session>(session: &S, name: &str, out: &mut Vec<u8>) -> bool {
    get_named(session, &session.cache().table.look_up(name), out)
}

/// Makes the next read of the variable called `name` evaluate it again.
pub fn forget_by_name<S: Session>(session: &S, name: &str) {
    let cache = session.cache();
    let index = cache.table.by_name.get(name).copied();
    if let Some(index) = index {
        cache.invalidate(index);
    }
}

/// Why a variable cannot be assigned by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssignError {
    /// It exists but is not changeable.
    NotChangeable,
    /// The configuration does not mention it.
    NotFound,
}

/// Assigns to the variable called `name` (lower-case); `None` makes it not found.
///
/// # Errors
/// It does not exist in the configuration, or may not be changed.
pub fn set_by_name<S: Session>(session: &S, name: &str, value: Option<&[u8]>) -> Result<(), AssignError> {
    let table = session.cache().table();
    let Some(definition) = table.definitions.get(name) else { return Err(AssignError::NotFound) };
    if definition.flags & CHANGEABLE == 0 {
        return Err(AssignError::NotChangeable);
    }
    if let Some(set) = &definition.set {
        set(session, value);
        return Ok(());
    }
    let index = *table.by_name.get(name).ok_or(AssignError::NotFound)?;
    match value {
        Some(value) => session.cache().set(index, value),
        None => session.cache().unset(index),
    }
    Ok(())
}
