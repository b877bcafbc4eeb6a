//! Variables: their definitions, the index of those that a configuration mentions, and each session's cached values.
//!
//! A variable named in the configuration gets an index, and its value is kept with the session after the first
//! evaluation; one marked [`NO_CACHE`] is evaluated again whenever a complex value mentions it. `ngx.var` reads by
//! name.

use crate::captures::Captures;
use conf::tree::SettingError;
use foldhash::fast::RandomState;
use std::cell::{Cell, Ref, RefCell, RefMut};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

pub mod by_name;
#[cfg(test)]
mod tests;

/// What a variable belongs to: an HTTP request or a stream session.
///
/// Variables, complex values and regular expressions are of one type of session, so that those of one protocol cannot meet another's.
pub trait Session: Sized + 'static {
    /// The cached values and captures.
    fn cache(&self) -> &Cache<Self>;
    /// Called when a variable's evaluation goes round in circles; logs nginx's line.
    fn variable_cycle(&self, name: &str);
}

/// Appends the value to the buffer and returns true, or returns false: not found.
pub type Get<S> = Rc<dyn Fn(&S, &mut Vec<u8>) -> bool>;
/// Assigns; none makes the variable not found.
pub type SetValue<S> = Rc<dyn Fn(&S, Option<&[u8]>)>;
/// Makes the getter of one variable of a family such as `http_*` from the rest of its name.
pub(crate) type MakeGet<S> = Rc<dyn Fn(&str) -> Get<S>>;

/// May be given by `set`, `map`, `geo` and from Lua.
pub const CHANGEABLE: u8 = 1;
/// Evaluated anew for each use in a complex value.
pub const NO_CACHE: u8 = 2;
/// May be defined again by a directive even though a module defines it.
pub const WEAK: u8 = 4;
/// nginx has no such variable, so that configurations may have one of their own by this name: it takes the place of this one.
pub const EXTRA: u8 = 8;

/// A variable's place in every session's [`Cache`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VarIndex(u32);

struct Definition<S> {
    get: Option<Get<S>>,
    set: Option<SetValue<S>>,
    flags: u8,
}

struct Indexed<S> {
    name: Rc<str>,
    get: Option<Get<S>>,
    set: Option<SetValue<S>>,
    flags: u8,
}

/// All variables of one configuration.
pub struct Variables<S> {
    definitions: HashMap<String, Definition<S>, RandomState>,
    families: Vec<(&'static str, MakeGet<S>, u8)>,
    indexed: Vec<Indexed<S>>,
    by_name: HashMap<String, VarIndex, RandomState>,
}

impl<S> Default for Variables<S> {
    fn default() -> Self {
        Variables { definitions: HashMap::default(), families: Vec::new(), indexed: Vec::new(), by_name: HashMap::default() }
    }
}

impl<S: Session> Variables<S> {
    /// Defines a variable; the names of built-in variables are lower-case.
    pub fn define(&mut self, name: &str, flags: u8, get: Get<S>) {
        self.definitions.insert(name.to_owned(), Definition { get: Some(get), set: None, flags });
    }

    /// Defines a variable that assigning acts on, such as `$args` or `$limit_rate`.
    pub fn define_settable(&mut self, name: &str, flags: u8, get: Get<S>, set: SetValue<S>) {
        self.definitions.insert(name.to_owned(), Definition { get: Some(get), set: Some(set), flags: flags | CHANGEABLE });
    }

    /// Defines a family: every name that starts with `prefix`.
    pub fn define_family(&mut self, prefix: &'static str, flags: u8, make: MakeGet<S>) {
        self.families.push((prefix, make, flags));
    }

    /// Defines a variable that has no getter but can be assigned, as `set $name` does. Keeps an existing definition.
    pub fn define_changeable(&mut self, name: &str) -> VarIndex {
        let name = name.to_ascii_lowercase();
        self.remove_default(&name);
        self.definitions.entry(name.clone()).or_insert(Definition { get: None, set: None, flags: CHANGEABLE });
        self.index(&name)
    }

    /// Defines a variable from a directive such as `map` or `set`.
    ///
    /// # Errors
    /// `the duplicate "x" variable` when a module's own variable has that name and may not be changed.
    pub fn add(&mut self, name: &str, get: Option<Get<S>>, flags: u8) -> Result<VarIndex, SettingError> {
        let name = name.to_ascii_lowercase();
        self.remove_default(&name);
        if let Some(old) = self.definitions.get_mut(&name) {
            if old.flags & (CHANGEABLE | WEAK) == 0 {
                return Err(format!("the duplicate \"{name}\" variable").into());
            }
            if let Some(get) = get {
                old.get = Some(get);
                old.flags = flags | CHANGEABLE;
            }
        } else {
            self.definitions.insert(name.clone(), Definition { get, set: None, flags: flags | CHANGEABLE });
        }
        Ok(self.index(&name))
    }

    /// Forgets a variable that nginx does not have, for the configuration's own of that name.
    fn remove_default(&mut self, name: &str) {
        if self.definitions.get(name).is_some_and(|definition| definition.flags & EXTRA != 0) {
            self.definitions.remove(name);
        }
    }

    /// Gives a changeable variable a getter for when nothing was assigned, unless it has a getter.
    pub fn define_default(&mut self, name: &str, get: Get<S>) {
        if let Some(definition) = self.definitions.get_mut(&name.to_ascii_lowercase())
            && definition.get.is_none()
        {
            definition.get = Some(get);
        }
    }

    /// Whether assigning to the variable is a matter of calling a function (`$args`), and that function.
    pub fn setter(&self, index: VarIndex) -> Option<SetValue<S>> {
        let name = &self.indexed.get(index.0 as usize)?.name;
        self.definitions.get(&**name).and_then(|d| d.set.clone())
    }

    /// The index of a variable that the configuration mentions. Whether it exists is checked by [`Variables::finish`].
    pub fn index(&mut self, name: &str) -> VarIndex {
        let name = name.to_ascii_lowercase();
        if let Some(index) = self.by_name.get(&name) {
            return *index;
        }
        let index = VarIndex(u32::try_from(self.indexed.len()).unwrap_or(u32::MAX));
        self.indexed.push(Indexed { name: name.as_str().into(), get: None, set: None, flags: 0 });
        self.by_name.insert(name, index);
        index
    }

    /// Resolves every mentioned variable.
    ///
    /// # Errors
    /// The first that does not exist.
    pub fn finish(&mut self) -> Result<(), UnknownVariable> {
        for variable in &mut self.indexed {
            let family = find_family(&self.families, &variable.name);
            // What only `set` defines gives way to a family: elsewhere `$http_x` is still the header.
            let defined = self.definitions.get(&*variable.name).filter(|d| d.flags & WEAK == 0 || family.is_none());
            match (defined, family) {
                (Some(found), _) => {
                    variable.get.clone_from(&found.get);
                    variable.set.clone_from(&found.set);
                    variable.flags = found.flags;
                }
                (None, Some((get, flags))) => {
                    variable.get = Some(get);
                    variable.flags = flags;
                }
                (None, None) => return Err(UnknownVariable { name: variable.name.clone() }),
            }
        }
        Ok(())
    }

    /// The defined variable whose name is nearest to `name`.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        conf::suggest::nearest(name, self.definitions.keys().map(String::as_str))
    }

    /// Name of an indexed variable.
    pub fn name(&self, index: VarIndex) -> &str {
        self.indexed.get(index.0 as usize).map_or("", |v| &v.name)
    }

    /// Number of indexed variables.
    pub fn len(&self) -> usize {
        self.indexed.len()
    }

    /// Whether the configuration mentions no variable.
    pub fn is_empty(&self) -> bool {
        self.indexed.is_empty()
    }
}

/// The configuration mentions an undefined variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownVariable {
    /// Its name.
    pub name: Rc<str>,
}

impl fmt::Display for UnknownVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown \"{}\" variable", self.name)
    }
}

impl std::error::Error for UnknownVariable {}

impl From<UnknownVariable> for String {
    fn from(unknown: UnknownVariable) -> String {
        unknown.to_string()
    }
}

fn find_family<S>(families: &[(&'static str, MakeGet<S>, u8)], name: &str) -> Option<(Get<S>, u8)> {
    let longest = families.iter().filter(|(prefix, ..)| name.starts_with(prefix)).max_by_key(|(prefix, ..)| prefix.len());
    longest.map(|(prefix, make, flags)| (make(name.get(prefix.len()..).unwrap_or_default()), *flags))
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Unknown,
    Found,
    NotFound,
}

#[derive(Default)]
struct Slot {
    state: State,
    /// The state was assigned: a getter has no say in it, not even that of a variable that is never cached.
    assigned: bool,
    value: Vec<u8>,
}

/// One session's values, reused from request to request.
pub struct Cache<S> {
    table: Rc<Variables<S>>,
    slots: RefCell<Vec<Slot>>,
    captures: RefCell<Captures>,
    depth: Cell<u8>,
}

/// Deepest chain of variables that refer to variables, as in nginx.
const MAX_DEPTH: u8 = 100;

impl<S: Session> Cache<S> {
    /// No value is known yet.
    pub fn new(table: Rc<Variables<S>>) -> Cache<S> {
        let mut slots = Vec::new();
        slots.resize_with(table.len(), Slot::default);
        Cache { table, slots: RefCell::new(slots), captures: RefCell::default(), depth: Cell::new(0) }
    }

    /// Forgets everything, for the next request on the same object.
    pub fn reset(&self) {
        for slot in self.slots.borrow_mut().iter_mut() {
            slot.state = State::Unknown;
        }
        self.captures.borrow_mut().clear();
    }

    /// The definitions.
    pub fn table(&self) -> Rc<Variables<S>> {
        self.table.clone()
    }

    /// Groups of the last match.
    pub fn captures(&self) -> Ref<'_, Captures> {
        self.captures.borrow()
    }

    /// For the regular expression that matched.
    pub fn captures_mut(&self) -> RefMut<'_, Captures> {
        self.captures.borrow_mut()
    }

    /// Assigns, without calling a setter.
    pub fn set(&self, index: VarIndex, value: &[u8]) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(index.0 as usize) {
            slot.value.clear();
            slot.value.extend_from_slice(value);
            slot.state = State::Found;
            slot.assigned = true;
        }
    }

    /// Makes the next read evaluate the variable again.
    pub fn invalidate(&self, index: VarIndex) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(index.0 as usize) {
            slot.state = State::Unknown;
        }
    }

    /// Marks as not found (`ngx.var.x = nil`).
    pub fn unset(&self, index: VarIndex) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(index.0 as usize) {
            slot.state = State::NotFound;
            slot.assigned = true;
        }
    }

    fn is_assigned(&self, index: VarIndex) -> bool {
        self.slots.borrow().get(index.0 as usize).is_some_and(|slot| slot.assigned && slot.state != State::Unknown)
    }

    /// Takes over all known values of another session (`copy_all_vars`, subrequests).
    pub fn copy_from(&self, other: &Cache<S>) {
        let from = other.slots.borrow();
        for (slot, source) in self.slots.borrow_mut().iter_mut().zip(from.iter()) {
            slot.state = source.state;
            slot.assigned = source.assigned;
            slot.value.clone_from(&source.value);
        }
    }

    fn known(&self, index: VarIndex, out: &mut Vec<u8>) -> State {
        let slots = self.slots.borrow();
        let Some(slot) = slots.get(index.0 as usize) else { return State::NotFound };
        if slot.state == State::Found {
            out.extend_from_slice(&slot.value);
        }
        slot.state
    }
}

/// Appends the value of an indexed variable, from the cache if it is known. False: not found.
pub fn get<S: Session>(session: &S, index: VarIndex, out: &mut Vec<u8>) -> bool {
    match session.cache().known(index, out) {
        State::Found => true,
        State::NotFound => false,
        State::Unknown => evaluate(session, index, out),
    }
}

/// Appends the value that was assigned to a variable whose own value the caller knows. False: none was.
pub fn get_assigned<S: Session>(session: &S, index: VarIndex, out: &mut Vec<u8>) -> bool {
    session.cache().is_assigned(index) && get(session, index, out)
}

/// As [`get`], but a [`NO_CACHE`] variable is evaluated again unless it was assigned: what complex values use.
pub fn get_flushed<S: Session>(session: &S, index: VarIndex, out: &mut Vec<u8>) -> bool {
    let variable = session.cache().table.indexed.get(index.0 as usize);
    let volatile = variable.is_some_and(|v| v.flags & NO_CACHE != 0 && v.get.is_some());
    if volatile && !session.cache().is_assigned(index) { evaluate(session, index, out) } else { get(session, index, out) }
}

fn evaluate<S: Session>(session: &S, index: VarIndex, out: &mut Vec<u8>) -> bool {
    let cache = session.cache();
    let Some(getter) = cache.table.indexed.get(index.0 as usize).and_then(|v| v.get.as_ref()) else { return false };
    if cache.depth.get() >= MAX_DEPTH {
        session.variable_cycle(cache.table.name(index));
        return false;
    }
    cache.depth.set(cache.depth.get() + 1);
    let start = out.len();
    let found = getter(session, out);
    cache.depth.set(cache.depth.get() - 1);
    if let Some(slot) = cache.slots.borrow_mut().get_mut(index.0 as usize) {
        slot.value.clear();
        slot.value.extend_from_slice(out.get(start..).unwrap_or_default());
        slot.state = if found { State::Found } else { State::NotFound };
        slot.assigned = false;
    }
    if !found {
        out.truncate(start);
    }
    found
}

/// Assigns to an indexed variable, through its setter if it has one.
pub fn assign<S: Session>(session: &S, index: VarIndex, value: &[u8]) {
    let setter = session.cache().table.indexed.get(index.0 as usize).and_then(|v| v.set.as_ref());
    match setter {
        Some(set) => set(session, Some(value)),
        None => session.cache().set(index, value),
    }
}
