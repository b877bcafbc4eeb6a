use super::list::End;
use super::{Dict, Found, Refusal, Store, Value, When};
use crate::zone::Zone;

const SET: Store = Store { when: When::Always, safe: false, lifetime: 0, flags: 0 };

#[test]
fn values_come_back_with_flags_and_conditions() {
    let zone = Zone::new("d", "dict", 1 << 16).unwrap();
    let g = zone.lock();
    let d = Dict::open(&g, 1000).unwrap();
    let mut out = Vec::new();
    assert_eq!(d.store(b"a", Value::Text(b"hello"), Store { flags: 7, ..SET }), Ok(false));
    let entry = d.get(b"a", false, &mut out).unwrap().unwrap();
    assert_eq!((entry.value, entry.flags, entry.stale, out.as_slice()), (Found::Text, 7, false, b"hello".as_slice()));
    assert_eq!(d.store(b"a", Value::Number(1.5), Store { when: When::Absent, ..SET }), Err((Refusal::Exists, false)));
    assert_eq!(d.store(b"b", Value::Number(1.5), Store { when: When::Present, ..SET }), Err((Refusal::NotFound, false)));
    assert_eq!(d.incr(b"a", 1.0, None), Err((Refusal::NotNumber, false)));
    assert_eq!(d.incr(b"n", 1.0, None), Err((Refusal::NotFound, false)));
    assert_eq!(d.incr(b"n", 1.0, Some((10.0, 0))), Ok((11.0, false)));
    assert_eq!(d.incr(b"n", -1.5, None), Ok((9.5, false)));
    d.delete(b"a");
    assert_eq!(d.get(b"a", true, &mut out), Ok(None));
}

#[test]
fn entries_expire() {
    let zone = Zone::new("d", "dict", 1 << 16).unwrap();
    let g = zone.lock();
    let d = Dict::open(&g, 1000).unwrap();
    for key in [b"a", b"b", b"c"] {
        assert_eq!(d.store(key, Value::Boolean(true), Store { lifetime: 50, ..SET }), Ok(false));
    }
    assert_eq!(d.expire(b"b", 0), Ok(()));
    let d = Dict::open(&g, 1060).unwrap();
    let mut out = Vec::new();
    assert_eq!((d.ttl(b"a"), d.ttl(b"b"), d.ttl(b"x")), (Ok(-10), Ok(0), Err(Refusal::NotFound)));
    assert_eq!(d.get(b"a", false, &mut out), Ok(None));
    assert!(d.get(b"a", true, &mut out).unwrap().unwrap().stale);
    let mut keys = Vec::new();
    d.keys(0, |key| keys.push(key.to_vec()));
    assert_eq!(keys, [b"b"]);
    assert_eq!((d.flush_expired(1), d.flush_expired(0)), (1, 1));
    d.flush_all();
    assert_eq!(d.get(b"b", false, &mut out), Ok(None));
}

#[test]
fn lists_at_both_ends() {
    let zone = Zone::new("d", "dict", 1 << 16).unwrap();
    let g = zone.lock();
    let d = Dict::open(&g, 1000).unwrap();
    let free = g.free_space();
    let mut out = Vec::new();
    assert_eq!(d.push(b"l", End::Left, Value::Number(1.0)), Ok(1));
    assert_eq!(d.push(b"l", End::Left, Value::Number(2.0)), Ok(2));
    assert_eq!(d.push(b"l", End::Right, Value::Text(b"x")), Ok(3));
    assert_eq!(d.get(b"l", false, &mut out), Err(Refusal::IsList));
    assert_eq!(d.pop(b"l", End::Right, &mut out), Ok(Some(Found::Text)));
    assert_eq!((out.as_slice(), d.length(b"l")), (b"x".as_slice(), Ok(2)));
    assert_eq!(d.pop(b"l", End::Right, &mut out), Ok(Some(Found::Number(1.0))));
    assert_eq!(d.pop(b"l", End::Right, &mut out), Ok(Some(Found::Number(2.0))));
    assert_eq!((d.pop(b"l", End::Right, &mut out), d.length(b"l")), (Ok(None), Ok(0)));
    assert_eq!(d.push(b"l", End::Left, Value::Text(&[1; 5000])), Ok(1));
    assert_eq!(d.store(b"l", Value::Number(1.0), SET), Ok(false));
    assert_eq!(d.push(b"l", End::Left, Value::Number(1.0)), Err(Refusal::NotList));
    d.delete(b"l");
    assert_eq!(g.free_space(), free);
}

#[test]
fn a_full_dictionary_drops_its_oldest_unless_told_not_to() {
    let zone = Zone::new("d", "dict", 1 << 16).unwrap();
    let g = zone.lock();
    let d = Dict::open(&g, 1000).unwrap();
    let mut n = 0u32;
    while d.store(&n.to_be_bytes(), Value::Text(&[b'v'; 300]), Store { safe: true, ..SET }).is_ok() {
        n += 1;
    }
    assert!(n > 50, "{n}");
    assert_eq!(d.store(b"large", Value::Text(&vec![0; 1 << 17]), SET), Err((Refusal::NoMemory, false)));
    assert_eq!(d.store(b"large", Value::Text(&[0; 20_000]), SET), Ok(true));
    let mut out = Vec::new();
    assert_eq!(d.get(&0u32.to_be_bytes(), true, &mut out), Ok(None));
    assert_eq!(d.get(&(n - 1).to_be_bytes(), false, &mut out).unwrap().unwrap().value, Found::Text);
}

#[test]
fn a_worker_killed_in_a_change_leaves_a_dictionary_that_works() {
    let zone = Zone::new("d", "dict", 1 << 16).unwrap();
    match sys::process::fork().unwrap() {
        sys::process::Fork::Child => {
            crate::lock::after_fork();
            let g = zone.lock();
            if let Some(d) = Dict::open(&g, 1000) {
                let _ = d.store(b"a", Value::Number(1.0), SET);
            }
            // Ends the process with the lock held and the mark of a change set.
            sys::process::exit_now(0);
        }
        sys::process::Fork::Parent(child) => {
            nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child), None).unwrap();
            let g = zone.lock();
            let d = Dict::open(&g, 1000).unwrap();
            assert_eq!((g.resets(), d.get(b"a", true, &mut Vec::new())), (2, Ok(None)));
            assert_eq!(d.store(b"a", Value::Number(2.0), SET), Ok(false));
        }
    }
}

#[test]
fn parts_make_the_whole() {
    let zone = Zone::new("parts", "dict", 1 << 20).unwrap();
    let mut found = Vec::new();
    {
        let g = zone.lock();
        let dict = Dict::open(&g, 1_000).unwrap();
        for number in 0..3000 {
            let lifetime = if number % 3 == 0 { 1 } else { 0 };
            let stored = dict.store(format!("key {number}").as_bytes(), Value::Boolean(true), Store { lifetime, ..SET });
            assert_eq!(stored, Ok(false));
        }
        assert!(dict.is_large());
    }
    let (mut part, mut removed) = (Some(0), 0);
    while let Some(number) = part {
        let g = zone.lock();
        let (next, more) = Dict::open(&g, 2_000).unwrap().flush_part(number);
        (part, removed) = (next, removed + more);
    }
    assert_eq!(removed, 1000);
    part = Some(0);
    while let Some(number) = part {
        let g = zone.lock();
        part = Dict::open(&g, 2_000).unwrap().keys_part(number, |key| found.push(key.to_vec()));
    }
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 2000);
}
