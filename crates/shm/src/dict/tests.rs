use super::failpoint;
use super::{Dict, End, Found, Refusal, Store, StoreMode, Value};
use crate::zone::Zone;

const SET: Store = Store { when: StoreMode::Always, safe: false, lifetime: 0, flags: 0 };
const NOW: u64 = 1000;

fn dict(size: usize) -> Dict {
    Dict::new(&Zone::new("d", super::OWNER, size).unwrap())
}

fn get(dict: &Dict, key: impl AsRef<[u8]>) -> Option<Found> {
    dict.get(key.as_ref(), false, NOW, &mut Vec::new()).unwrap().map(|entry| entry.value)
}

fn keys(d: &Dict, max: usize, now: u64) -> Vec<Vec<u8>> {
    let keys = d.keys(max, now);
    let all: Vec<Vec<u8>> = keys.iter().map(<[u8]>::to_vec).collect();
    assert_eq!((keys.len(), keys.is_empty()), (all.len(), all.is_empty()));
    all
}

#[test]
fn values_come_back_with_flags_and_conditions() {
    let d = dict(1 << 16);
    let mut out = Vec::new();
    assert_eq!(d.store(b"a", Value::Text(b"hello"), Store { flags: 7, ..SET }, NOW), Ok(false));
    let entry = d.get(b"a", false, NOW, &mut out).unwrap().unwrap();
    assert_eq!((entry.value, entry.flags, entry.stale, out.as_slice()), (Found::Text, 7, false, b"hello".as_slice()));
    assert_eq!(d.store(b"a", Value::Number(1.5), Store { when: StoreMode::Absent, ..SET }, NOW), Err((Refusal::Exists, false)));
    assert_eq!(d.store(b"b", Value::Number(1.5), Store { when: StoreMode::Present, ..SET }, NOW), Err((Refusal::NotFound, false)));
    assert_eq!(d.incr(b"a", 1.0, None, NOW), Err((Refusal::NotNumber, false)));
    assert_eq!(d.incr(b"n", 1.0, None, NOW), Err((Refusal::NotFound, false)));
    assert_eq!(d.incr(b"n", 1.0, Some((10.0, 0)), NOW), Ok((11.0, false)));
    assert_eq!(d.incr(b"n", -1.5, None, NOW), Ok((9.5, false)));
    d.delete(b"a");
    assert_eq!(d.get(b"a", true, NOW, &mut out), Ok(None));
    assert_eq!(d.check().map(|report| report.entries), Ok(1));
}

#[test]
fn values_of_all_sizes_replace_each_other() {
    let d = dict(1 << 20);
    let text: Vec<u8> = (0..20_000u32).map(|i| (i % 251) as u8).collect();
    let free = d.free_space();
    for length in (0..300).chain([500, 1400, 2000, 2048, 2049, 4000, 5000, 20_000, 3, 2040, 100]) {
        for key in [&b"k"[..], b"a longer key", &[b'x'; 100]] {
            assert_eq!(d.store(key, Value::Text(&text[..length]), SET, NOW), Ok(false));
            let mut out = b"before".to_vec();
            assert_eq!(d.get(key, false, NOW, &mut out).unwrap().unwrap().value, Found::Text);
            assert_eq!(out[6..], text[..length]);
        }
        d.check().unwrap();
    }
    assert_eq!(d.store(b"k", Value::Boolean(true), SET, NOW), Ok(false));
    assert_eq!(get(&d, "k"), Some(Found::Boolean(true)));
    for key in [&b"k"[..], b"a longer key", &[b'x'; 100]] {
        d.delete(key);
    }
    assert_eq!((d.free_space(), d.check().unwrap().entries), (free, 0));
}

#[test]
fn entries_expire() {
    let d = dict(1 << 16);
    for key in [b"a", b"b", b"c"] {
        assert_eq!(d.store(key, Value::Boolean(true), Store { lifetime: 50, ..SET }, NOW), Ok(false));
    }
    assert_eq!(d.expire(b"b", 0, NOW), Ok(()));
    let mut out = Vec::new();
    let later = NOW + 60;
    assert_eq!((d.ttl(b"a", later), d.ttl(b"b", later), d.ttl(b"x", later)), (Ok(-10), Ok(0), Err(Refusal::NotFound)));
    assert_eq!(d.get(b"a", false, later, &mut out), Ok(None));
    assert!(d.get(b"a", true, later, &mut out).unwrap().unwrap().stale);
    assert_eq!(d.store(b"d", Value::Boolean(true), Store { lifetime: u64::MAX, ..SET }, NOW), Ok(false));
    assert_eq!((d.ttl(b"d", later), d.expire(b"d", u64::MAX - NOW, NOW), d.ttl(b"d", later)), (Ok(0), Ok(()), Ok(0)));
    d.delete(b"d");
    assert_eq!(keys(&d, 0, later), [b"b"]);
    assert_eq!((d.flush_expired(1, later), d.flush_expired(0, later)), (1, 1));
    d.flush_all();
    assert_eq!(d.get(b"b", false, later, &mut out), Ok(None));
    d.check().unwrap();
}

#[test]
fn lists_at_both_ends() {
    let d = dict(1 << 16);
    let free = d.free_space();
    let mut out = Vec::new();
    assert_eq!(d.push(b"l", End::Left, Value::Number(1.0), NOW), Ok(1));
    assert_eq!(d.push(b"l", End::Left, Value::Number(2.0), NOW), Ok(2));
    assert_eq!(d.push(b"l", End::Right, Value::Text(b"x"), NOW), Ok(3));
    assert_eq!(d.check().map(|report| report.items), Ok(3));
    assert_eq!(d.get(b"l", false, NOW, &mut out), Err(Refusal::IsList));
    assert_eq!(d.pop(b"l", End::Right, NOW, &mut out), Ok(Some(Found::Text)));
    assert_eq!((out.as_slice(), d.length(b"l", NOW)), (b"x".as_slice(), Ok(2)));
    assert_eq!(d.pop(b"l", End::Right, NOW, &mut out), Ok(Some(Found::Number(1.0))));
    assert_eq!(d.pop(b"l", End::Right, NOW, &mut out), Ok(Some(Found::Number(2.0))));
    assert_eq!((d.pop(b"l", End::Right, NOW, &mut out), d.length(b"l", NOW)), (Ok(None), Ok(0)));
    assert_eq!(d.push(b"l", End::Left, Value::Text(&[1; 5000]), NOW), Ok(1));
    assert_eq!(d.store(b"l", Value::Number(1.0), SET, NOW), Ok(false));
    assert_eq!(d.push(b"l", End::Left, Value::Number(1.0), NOW), Err(Refusal::NotList));
    d.delete(b"l");
    assert_eq!(d.free_space(), free);
}

#[test]
fn a_full_list_refuses_and_stays() {
    for size in [1 << 16, 1 << 21] {
        let d = dict(size);
        let mut length = 0;
        while let Ok(now) = d.push(b"list", End::Right, Value::Text(&[b'i'; 500]), NOW) {
            assert_eq!(now, length + 1);
            length = now;
        }
        assert!(length as usize > size / 1000, "{length}");
        assert_eq!(
            (d.push(b"list", End::Right, Value::Text(&[b'i'; 500]), NOW), d.length(b"list", NOW)),
            (Err(Refusal::NoMemory), Ok(length))
        );
        d.check().unwrap();
        // Something else still gets room by dropping it.
        assert_eq!(d.store(b"k", Value::Text(&[1; 3000]), SET, NOW), Ok(true));
        d.check().unwrap();
    }
}

#[test]
fn a_list_takes_no_live_entrys_place() {
    for size in [1 << 16, 1 << 21] {
        let d = dict(size);
        let later = NOW + 10;
        d.store(b"dead", Value::Text(&[b'v'; 9000]), Store { lifetime: 5, ..SET }, NOW).unwrap();
        filled(&d);
        let live = d.keys(0, later).len();
        // What has expired makes room, in a list that begins and in one that is there.
        assert_eq!(d.push(b"list", End::Left, Value::Text(&[b'i'; 300]), later), Ok(1));
        let item = Value::Text(&[b'i'; 60_000]);
        assert_eq!(d.push(b"list", End::Left, item, later), Err(Refusal::NoMemory));
        assert_eq!(d.push(b"other", End::Left, item, later), Err(Refusal::NoMemory));
        assert_eq!((d.keys(0, later).len(), d.length(b"list", later), d.length(b"other", later)), (live + 1, Ok(1), Ok(0)));
        d.check().unwrap();
    }
}

#[test]
fn a_full_dictionary_drops_its_oldest_unless_told_not_to() {
    for size in [1 << 16, 1 << 21] {
        let d = dict(size);
        let mut n = 0u32;
        while d.store(&n.to_be_bytes(), Value::Text(&[b'v'; 300]), Store { safe: true, ..SET }, NOW).is_ok() {
            n += 1;
        }
        assert!(n as usize > size / 500, "{n}");
        d.check().unwrap();
        assert_eq!(d.store(b"large", Value::Text(&vec![0; 2 * size]), SET, NOW), Err((Refusal::NoMemory, false)));
        assert_eq!(d.store(b"large", Value::Text(&[0; 20_000]), SET, NOW), Ok(true));
        assert_eq!(get(&d, 0u32.to_be_bytes()), None);
        assert_eq!(get(&d, (n - 1).to_be_bytes()), Some(Found::Text));
        d.check().unwrap();
        // All but all of the memory for one, by dropping all others.
        assert_eq!(d.store(b"huge", Value::Text(&vec![0; d.arena.geometry.pages * 4096 - 100]), SET, NOW), Ok(true));
        assert_eq!((get(&d, "huge"), d.len()), (Some(Found::Text), 1));
        d.check().unwrap();
    }
}

#[test]
fn a_small_dictionary_keeps_what_is_used() {
    let d = dict(1 << 16);
    let key = |n: u32| format!("key {n}");
    let mut n = 0;
    while d.store(key(n).as_bytes(), Value::Number(1.0), Store { safe: true, ..SET }, NOW).is_ok() {
        n += 1;
    }
    // Half of them are used: the other half goes first, in the order in which they came.
    for number in (0..n).step_by(2) {
        assert!(get(&d, key(number)).is_some());
    }
    // A few entries share a mark.
    let mut gone = 0;
    for number in n..n + n / 4 {
        assert_eq!(d.store(key(number).as_bytes(), Value::Number(1.0), SET, NOW), Ok(true));
        gone += 1;
    }
    let used = (0..n).step_by(2).filter(|number| get(&d, key(*number)).is_some()).count();
    let unused = (1..n).step_by(2).filter(|number| get(&d, key(*number)).is_some()).count();
    assert_eq!(used + unused + gone, n as usize);
    assert!(used as f64 > f64::from(n) * 0.47, "{used} {unused} of {n}");
    d.check().unwrap();
}

#[test]
fn large_values_push_out_the_oldest_of_all_shards() {
    let d = dict(1 << 21);
    assert_eq!(d.arena.geometry.shards(), 8);
    let value = vec![b'v'; 200_000];
    for n in 0..60u32 {
        assert!(d.store(&n.to_be_bytes(), Value::Text(&value), SET, NOW).is_ok());
        std::thread::sleep(std::time::Duration::from_micros(200));
        d.check().unwrap();
        // Nine have room. The last five are there always; which of the others goes is a good guess.
        for recent in n.saturating_sub(4)..=n {
            assert_eq!(get(&d, recent.to_be_bytes()), Some(Found::Text), "{recent} of {n}");
        }
    }
}

#[test]
fn keys_of_all_shards() {
    let d = dict(1 << 21);
    for n in 0..5000u32 {
        let lifetime = u64::from(n % 3 == 0);
        assert_eq!(d.store(format!("key {n}").as_bytes(), Value::Boolean(true), Store { lifetime, ..SET }, NOW), Ok(false));
    }
    let later = NOW + 10;
    assert_eq!(d.flush_expired(100, later), 100);
    assert_eq!(d.flush_expired(0, later), 1667 - 100);
    let mut all = keys(&d, 0, later);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 3333);
    for max in [1, 7, 16, 100, 1024, 3000] {
        let mut some = keys(&d, max, later);
        some.sort();
        some.dedup();
        assert_eq!(some.len(), max);
    }
    d.flush_all();
    assert_eq!((d.keys(0, later).len(), d.flush_expired(0, later), d.len()), (0, 3333, 0));
    d.check().unwrap();
}

#[test]
fn readers_see_whole_values_while_others_write() {
    let zone = Zone::new("d", super::OWNER, 1 << 21).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2u8 {
            let (zone, stop) = (zone.share(), &stop);
            scope.spawn(move || {
                let (d, mut round) = (Dict::new(&zone), 0usize);
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    round += 1;
                    let value = vec![(round % 200) as u8 + writer; 1 + round * 37 % 3000];
                    d.store(&[b'k', (round % 5) as u8], Value::Text(&value), SET, NOW).unwrap();
                    d.incr(b"count", 1.0, Some((0.0, 0)), NOW).unwrap();
                }
            });
        }
        let (d, mut out, mut last, mut seen) = (Dict::new(&zone), Vec::new(), 0.0, 0usize);
        while seen < 100_000 {
            out.clear();
            if let Some(entry) = d.get(&[b'k', (seen % 5) as u8], false, NOW, &mut out).unwrap() {
                seen += 1;
                assert!(entry.value == Found::Text && out.windows(2).all(|pair| pair[0] == pair[1]) && !out.is_empty());
            }
            if let Some(Found::Number(count)) = get(&d, "count") {
                assert!(count >= last);
                last = count;
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    Dict::new(&zone).check().unwrap();
}

#[test]
fn the_lease_is_no_part_of_what_is_kept_and_passes_on() {
    let d = dict(1 << 16);
    for holds in [true, false] {
        if holds {
            assert!(d.lease() && d.lease());
        } else {
            d.release_lease();
        }
        d.store(b"a", Value::Number(1.0), SET, NOW).unwrap();
        d.flush_all();
        let sys::process::Fork::Parent(child) = sys::process::fork().unwrap() else {
            crate::lock::after_fork();
            // Its end is that of its lease.
            sys::process::exit_now(i32::from(d.lease()));
        };
        let status = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child), None).unwrap();
        assert_eq!(status, nix::sys::wait::WaitStatus::Exited(nix::unistd::Pid::from_raw(child), i32::from(!holds)));
    }
    assert!(d.lease());
}

/// Runs `act` in processes that die at their first, second, ... step inside of a lock, until one reaches the end. After each the
/// dictionary must be sound and usable, and no shard may have lost entries but the one that was being changed.
fn dies_at_each_step(size: usize, prepare: impl Fn(&Dict), act: impl Fn(&Dict)) -> u64 {
    for step in 1.. {
        let zone = Zone::new("d", super::OWNER, size).unwrap();
        let d = Dict::new(&zone);
        prepare(&d);
        let before = keys(&d, 0, NOW);
        match sys::process::fork().unwrap() {
            sys::process::Fork::Child => {
                crate::lock::after_fork();
                failpoint::arm(step);
                act(&d);
                sys::process::exit_now(0);
            }
            sys::process::Fork::Parent(child) => {
                let status = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child), None).unwrap();
                let nix::sys::wait::WaitStatus::Exited(_, code) = status else { panic!("{status:?} at step {step}") };
                let report = d.check().unwrap_or_else(|wrong| panic!("step {step}: {wrong}"));
                let (_, emptied) = d.recoveries();
                assert!(emptied <= 1 && (code == 9 || emptied == 0), "step {step}");
                if code == 0 {
                    return step;
                }
                if emptied == 1 {
                    lost_one_shard_at_most(&d, &before, step);
                }
                assert!(report.pages > 0 || emptied == 1 || before.is_empty(), "step {step}");
                for key in [&b"a"[..], b"new", b"list", b"0"] {
                    d.delete(key);
                    d.store(key, Value::Text(&[1; 700]), SET, NOW).unwrap();
                    assert_eq!(get(&d, key), Some(Found::Text));
                }
                d.check().unwrap_or_else(|wrong| panic!("after step {step}: {wrong}"));
            }
        }
    }
    0
}

fn lost_one_shard_at_most(d: &Dict, before: &[Vec<u8>], step: u64) {
    let shard = |key: &Vec<u8>| d.arena.spot(key).shard;
    let mut lost: Vec<_> = before.iter().filter(|key| d.ttl(key, NOW).is_err()).map(shard).collect();
    lost.sort_unstable();
    let total = lost.len();
    lost.dedup();
    // One shard as a whole, and what was dropped elsewhere to make room.
    let full =
        lost.iter().filter(|shard| before.iter().filter(|key| d.arena.spot(key).shard == **shard).all(|key| d.ttl(key, NOW).is_err()));
    assert!(lost.len() <= 1 || full.count() <= 1, "step {step}: {total} in shards {lost:?}");
}

/// Dying is what matters, not the result.
fn quiet<T>(_: T) {}

fn hundred(d: &Dict) {
    for n in 0..100 {
        d.store(format!("{n}").as_bytes(), Value::Text(&[b'v'; 100]), SET, NOW).unwrap();
    }
}

fn filled(d: &Dict) {
    let mut n = 0;
    while d.store(format!("{n}").as_bytes(), Value::Text(&[b'v'; 900]), Store { safe: true, ..SET }, NOW).is_ok() {
        n += 1;
    }
}

#[test]
fn a_process_may_die_while_it_stores() {
    let set = |d: &Dict, key: &[u8], length| {
        let _ = d.store(key, Value::Text(&vec![b'n'; length]), SET, NOW);
    };
    for size in [1 << 16, 1 << 21] {
        assert!(dies_at_each_step(size, |_| {}, |d| set(d, b"a", 10)) > 10);
        assert!(dies_at_each_step(size, hundred, |d| set(d, b"new", 3000)) > 300);
        assert!(dies_at_each_step(size, hundred, |d| set(d, b"0", 1000)) > 50);
        assert!(dies_at_each_step(size, hundred, |d| set(d, b"0", 90)) > 10);
        assert!(dies_at_each_step(size, filled, |d| set(d, b"new", 500)) > 30);
        assert!(dies_at_each_step(size, filled, |d| set(d, b"new", 2500)) > 100);
    }
}

#[test]
fn a_process_may_die_while_it_counts_and_deletes() {
    let count = |d: &Dict, key: &[u8]| {
        let _ = d.incr(key, 1.0, Some((0.0, 0)), NOW);
    };
    assert!(dies_at_each_step(1 << 21, hundred, |d| count(d, b"new")) > 10);
    let counted = |d: &Dict| {
        hundred(d);
        count(d, b"a");
    };
    assert!(dies_at_each_step(1 << 21, counted, |d| count(d, b"a")) > 2);
    assert!(dies_at_each_step(1 << 21, counted, |d| d.delete(b"a")) > 5);
    assert!(dies_at_each_step(1 << 21, counted, |d| quiet(d.expire(b"a", 5, NOW))) > 2);
    assert!(dies_at_each_step(1 << 16, counted, Dict::flush_all) > 100);
    let expired = |d: &Dict| {
        for n in 0..40 {
            d.store(format!("{n}").as_bytes(), Value::Number(1.0), Store { lifetime: 1, ..SET }, NOW - 10).unwrap();
        }
    };
    assert!(dies_at_each_step(1 << 16, expired, |d| quiet(d.flush_expired(0, NOW))) > 200);
}

#[test]
fn a_process_may_die_while_it_works_on_a_list() {
    let listed = |d: &Dict| {
        hundred(d);
        for n in 0..5 {
            d.push(b"list", End::Right, Value::Number(f64::from(n)), NOW).unwrap();
        }
    };
    assert!(dies_at_each_step(1 << 16, hundred, |d| quiet(d.push(b"list", End::Left, Value::Text(&[2; 20]), NOW))) > 10);
    assert!(dies_at_each_step(1 << 16, listed, |d| quiet(d.push(b"list", End::Left, Value::Number(1.0), NOW))) > 5);
    assert!(dies_at_each_step(1 << 16, listed, |d| quiet(d.pop(b"list", End::Right, NOW, &mut Vec::new()))) > 5);
    assert!(dies_at_each_step(1 << 16, listed, |d| d.delete(b"list")) > 20);
    let full = |d: &Dict| {
        for n in 0..20 {
            d.store(format!("dead {n}").as_bytes(), Value::Text(&[b'v'; 900]), Store { lifetime: 5, ..SET }, NOW).unwrap();
        }
        listed(d);
        filled(d);
    };
    assert!(dies_at_each_step(1 << 16, full, |d| quiet(d.push(b"list", End::Left, Value::Text(&[2; 3000]), NOW + 10))) > 20);
}

#[test]
fn a_loss_is_told_once() {
    let mut zones = crate::Zones::default();
    let zone = zones.claim("told", super::OWNER, 1 << 16).unwrap();
    let d = Dict::new(&zone);
    for step in 1.. {
        d.store(b"a", Value::Number(1.0), SET, NOW).unwrap();
        let sys::process::Fork::Parent(child) = sys::process::fork().unwrap() else {
            crate::lock::after_fork();
            failpoint::arm(step);
            d.store(b"a", Value::Text(&[1; 300]), SET, NOW).unwrap();
            sys::process::exit_now(0);
        };
        let nix::sys::wait::WaitStatus::Exited(_, code) = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child), None).unwrap() else {
            panic!("no exit at step {step}");
        };
        assert_eq!(code, 9, "it should be told before the change is over");
        let lost = zones.reap(child);
        assert!(zones.reap(child).is_empty());
        if !lost.is_empty() {
            assert_eq!(lost, [crate::RecoveryReport { name: "told".to_owned(), parts: 1, of: 1 }]);
            assert_eq!(get(&d, b"a"), None);
            return;
        }
    }
}

#[test]
fn what_has_expired_is_found_in_small_shards_and_in_large_ones() {
    for entries in [1_usize, 10, 1024, 1025, 5000] {
        let zone = Zone::new("d", super::OWNER, 4 << 20).unwrap();
        let d = Dict::new(&zone);
        for n in 0..entries {
            let lifetime = if n % 2 == 0 { 5 } else { 0 };
            d.store(format!("key {n}").as_bytes(), Value::Boolean(true), Store { lifetime, ..SET }, NOW).unwrap();
        }
        let expired = entries.div_ceil(2);
        assert_eq!((d.flush_expired(0, NOW), d.flush_expired(1, NOW + 6), d.flush_expired(0, NOW + 6)), (0, 1, expired - 1));
        assert_eq!(d.len(), (entries - expired) as u64);
        d.flush_all();
        assert_eq!((d.keys(0, NOW).len(), d.flush_expired(0, NOW), d.len()), (0, entries - expired, 0));
        d.check().unwrap();
    }
}
