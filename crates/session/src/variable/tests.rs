//! Definitions and who wins among them, values that are kept, and what may be assigned.

use super::by_name::*;
use super::*;

struct Fake {
    cache: Cache<Fake>,
    cycles: RefCell<Vec<String>>,
    counted: Cell<u32>,
}

impl Session for Fake {
    fn cache(&self) -> &Cache<Fake> {
        &self.cache
    }
    fn variable_cycle(&self, name: &str) {
        self.cycles.borrow_mut().push(name.to_owned());
    }
}

fn session(mut variables: Variables<Fake>) -> Fake {
    variables.finish().unwrap();
    Fake { cache: Cache::new(Rc::new(variables)), cycles: RefCell::default(), counted: Cell::new(0) }
}

fn says(text: &'static str) -> Get<Fake> {
    Rc::new(move |_, out| {
        out.extend_from_slice(text.as_bytes());
        true
    })
}

/// Says how often it was asked.
fn counts() -> Get<Fake> {
    Rc::new(|session, out| {
        session.counted.set(session.counted.get() + 1);
        out.extend_from_slice(session.counted.get().to_string().as_bytes());
        true
    })
}

fn value(session: &Fake, name: &str) -> Option<String> {
    let mut out = b"before ".to_vec();
    let found = get_by_name(session, name, &mut out);
    let text = String::from_utf8(out).unwrap();
    let rest = text.strip_prefix("before ").expect("what stood there stays").to_owned();
    if found {
        return Some(rest);
    }
    assert_eq!(rest, "", "what is not found leaves nothing");
    None
}

#[test]
fn directives_may_define_only_what_modules_leave_open() {
    let rows: &[(u8, Result<&str, &str>)] = &[
        (0, Err("the duplicate \"x\" variable")),
        (NO_CACHE, Err("the duplicate \"x\" variable")),
        (CHANGEABLE, Ok("own")),
        (WEAK, Ok("own")),
        (EXTRA, Ok("own")),
    ];
    for (flags, expected) in rows {
        let mut variables = Variables::default();
        variables.define("x", *flags, says("module"));
        match (variables.add("X", Some(says("own")), 0), expected) {
            (Err(message), Err(words)) => assert_eq!(message, (*words).into()),
            (Ok(_), Ok(text)) => assert_eq!(value(&session(variables), "x").as_deref(), Some(*text), "flags {flags}"),
            (found, _) => panic!("flags {flags}: {found:?}"),
        }
    }
}

#[test]
fn a_name_that_only_set_defines_keeps_what_modules_say_of_it() {
    let mut variables = Variables::default();
    variables.define("x", CHANGEABLE, says("module"));
    let index = variables.define_changeable("X");
    variables.define_changeable("fresh");
    variables.define_default("fresh", says("default"));
    variables.define_default("x", says("late"));
    variables.define_default("nobody", says("nothing"));
    assert_eq!(variables.name(index), "x");
    let session = session(variables);
    assert_eq!(value(&session, "x").as_deref(), Some("module"));
    assert_eq!(value(&session, "fresh").as_deref(), Some("default"));
    assert_eq!(value(&session, "nobody"), None);
    assign(&session, index, b"assigned");
    assert_eq!(value(&session, "x").as_deref(), Some("assigned"));
}

#[test]
fn the_longest_beginning_names_the_family() {
    let mut variables = Variables::default();
    let family = |word: &'static str| -> MakeGet<Fake> {
        Rc::new(move |rest: &str| {
            let text = format!("{word}:{rest}");
            Rc::new(move |_, out| {
                out.extend_from_slice(text.as_bytes());
                true
            })
        })
    };
    variables.define_family("http_", 0, family("short"));
    variables.define_family("http_x_", 0, family("long"));
    variables.define("http_host", 0, says("own"));
    variables.define("http_weak", WEAK, says("weak"));
    for name in ["http_a", "http_x_a", "http_x_", "http_host", "http_weak"] {
        variables.index(name);
    }
    let session = session(variables);
    let rows = [
        ("http_a", Some("short:a")),
        ("http_x_a", Some("long:a")),
        ("http_x_", Some("long:")),
        ("http_host", Some("own")),
        // What only a directive defines is not seen where a family has the name.
        ("http_weak", Some("short:weak")),
        // Not mentioned in the configuration.
        ("http_x_b", Some("long:b")),
        ("http", None),
    ];
    for (name, expected) in rows {
        assert_eq!(value(&session, name).as_deref(), expected, "{name}");
    }
}

#[test]
fn values_are_kept_unless_they_may_not_be() {
    let mut variables = Variables::default();
    variables.define("kept", 0, counts());
    variables.define("fresh", NO_CACHE, counts());
    let (kept, fresh) = (variables.index("kept"), variables.index("fresh"));
    let session = session(variables);
    let read = |how: fn(&Fake, VarIndex, &mut Vec<u8>) -> bool, index| {
        let mut out = Vec::new();
        assert!(how(&session, index, &mut out));
        String::from_utf8(out).unwrap()
    };
    assert_eq!((read(get, kept), read(get_flushed, kept), read(get, kept)), ("1".into(), "1".into(), "1".into()));
    assert_eq!((read(get, fresh), read(get, fresh), read(get_flushed, fresh)), ("2".into(), "2".into(), "3".into()));
    // What was assigned holds even so, until it is forgotten.
    session.cache.set(fresh, b"own");
    assert!(get_assigned(&session, fresh, &mut Vec::new()));
    assert_eq!(read(get_flushed, fresh), "own");
    session.cache.invalidate(fresh);
    assert!(!get_assigned(&session, fresh, &mut Vec::new()));
    assert_eq!(read(get_flushed, fresh), "4");
    forget_by_name(&session, "kept");
    forget_by_name(&session, "nobody");
    assert_eq!(read(get, kept), "5");
    session.cache.unset(kept);
    assert!(!get(&session, kept, &mut Vec::new()));
    session.cache.reset();
    assert_eq!(read(get, kept), "6");
}

#[test]
fn a_getter_that_finds_nothing_leaves_nothing_and_is_asked_once() {
    let mut variables = Variables::default();
    variables.define(
        "none",
        0,
        Rc::new(|session: &Fake, out| {
            session.counted.set(session.counted.get() + 1);
            out.extend_from_slice(b"rest of a try");
            false
        }),
    );
    variables.index("none");
    let session = session(variables);
    assert_eq!(value(&session, "none"), None);
    assert_eq!(value(&session, "none"), None);
    assert_eq!(session.counted.get(), 1);
}

#[test]
fn a_variable_that_refers_to_itself_ends_and_is_told() {
    let mut variables = Variables::default();
    let index = variables.index("round");
    variables.define("round", NO_CACHE, Rc::new(move |session: &Fake, out| get_flushed(session, index, out)));
    let session = session(variables);
    assert_eq!(value(&session, "round"), None);
    assert_eq!(*session.cycles.borrow(), ["round"]);
    // The depth is counted back: the next evaluation goes as far.
    assert_eq!(value(&session, "round"), None);
    assert_eq!(session.cycles.borrow().len(), 2);
}

#[test]
fn only_changeable_variables_that_the_configuration_mentions_are_assigned_by_name() {
    let told: Rc<RefCell<Vec<Option<Vec<u8>>>>> = Rc::default();
    let mut variables = Variables::default();
    variables.define("fixed", 0, says("module"));
    variables.define("loose", CHANGEABLE, says("module"));
    variables.define("mentioned", CHANGEABLE, says("module"));
    let to = told.clone();
    let set: SetValue<Fake> = Rc::new(move |_, value| to.borrow_mut().push(value.map(<[u8]>::to_vec)));
    variables.define_settable("acts", 0, says("module"), set);
    let acts = variables.index("acts");
    let mentioned = variables.index("mentioned");
    assert!(variables.setter(acts).is_some() && variables.setter(mentioned).is_none());
    assert_eq!(variables.mentioned("loose"), None);
    let session = session(variables);
    let rows: &[(&str, Option<&[u8]>, Result<(), AssignError>, Option<&str>)] = &[
        ("nobody", Some(b"x"), Err(AssignError::NotFound), None),
        ("fixed", Some(b"x"), Err(AssignError::NotChangeable), Some("module")),
        ("loose", Some(b"x"), Err(AssignError::NotFound), Some("module")),
        ("mentioned", Some(b"x"), Ok(()), Some("x")),
        ("mentioned", None, Ok(()), None),
        ("mentioned", Some(b""), Ok(()), Some("")),
        // A setter has the say; the getter shows what came of it.
        ("acts", Some(b"1"), Ok(()), Some("module")),
        ("acts", None, Ok(()), Some("module")),
    ];
    for (name, given, expected, after) in rows {
        assert_eq!(set_by_name(&session, name, *given), *expected, "{name} {given:?}");
        assert_eq!(value(&session, name).as_deref(), *after, "{name} {given:?}");
    }
    assign(&session, acts, b"2");
    assert_eq!(*told.borrow(), [Some(b"1".to_vec()), None, Some(b"2".to_vec())]);
}

#[test]
fn a_copy_has_the_values_and_what_was_assigned() {
    let mut variables = Variables::default();
    variables.define("kept", 0, counts());
    variables.define("fresh", NO_CACHE, counts());
    let (kept, fresh) = (variables.index("kept"), variables.index("fresh"));
    let first = session(variables);
    let second = Fake { cache: Cache::new(first.cache.table()), cycles: RefCell::default(), counted: Cell::new(100) };
    assert!(get(&first, kept, &mut Vec::new()));
    first.cache.set(fresh, b"own");
    second.cache.copy_from(&first.cache);
    let mut out = Vec::new();
    assert!(get(&second, kept, &mut out) && get_flushed(&second, fresh, &mut out));
    assert_eq!(out, b"1own");
    assert_eq!(second.counted.get(), 100, "nothing was evaluated");
}

#[test]
fn what_nobody_defines_is_named_and_the_nearest_is_known() {
    let mut variables = Variables::<Fake>::default();
    assert!(variables.is_empty());
    variables.define("remote_addr", 0, says(""));
    variables.index("Remote_Adr");
    assert_eq!(variables.len(), 1);
    let unknown = variables.finish().unwrap_err();
    assert_eq!(String::from(unknown.clone()), "unknown \"remote_adr\" variable");
    assert_eq!(variables.nearest(&unknown.name), Some("remote_addr"));
    assert_eq!(variables.nearest("quite_another_word"), None);
}
