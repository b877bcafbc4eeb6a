//! Processes that work on one dictionary and are killed at any moment: it stays sound, and nobody waits for long.
//!
//! `KILLS=2000 cargo test --release -p lunette-shm --test kills -- --nocapture` does more of it and says what happened.

#![allow(clippy::unwrap_used)]

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use shm::dict::{End, Found, OWNER, Store, StoreMode, Value};
use shm::{Dict, Zone};
use std::time::{Duration, Instant};
use sys::process::{Fork, exit_now, fork};

const SET: Store = Store { when: StoreMode::Always, safe: false, lifetime: 0, flags: 0 };
const NOW: u64 = 1000;
/// Longer waits count as hanging, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Everything that a user can do, on keys that others use too.
fn act(dict: &Dict, dice: &mut Dice, out: &mut Vec<u8>) {
    let key = format!("key {}", dice.roll(3000));
    let list = format!("list {}", dice.roll(20));
    let text = vec![b'v'; [10, 10, 50, 300, 1500, 6000][dice.roll(6) as usize]];
    let end = if dice.roll(2) == 0 { End::Left } else { End::Right };
    out.clear();
    // What is refused because of what others did is as good as what succeeds.
    match dice.roll(100) {
        0..30 => drop(dict.store(key.as_bytes(), Value::Text(&text), SET, NOW)),
        30..45 => drop(dict.store(key.as_bytes(), Value::Text(&text), Store { lifetime: 1 + dice.roll(5), safe: true, ..SET }, NOW)),
        45..60 => drop(dict.incr(format!("count {}", dice.roll(50)).as_bytes(), 1.0, Some((0.0, 0)), NOW)),
        60..70 => dict.delete(key.as_bytes()),
        70..80 => drop(dict.push(list.as_bytes(), end, Value::Text(&text), NOW)),
        80..88 => drop(dict.pop(list.as_bytes(), end, NOW, out)),
        88..99 => {
            if let Ok(Some(entry)) = dict.get(key.as_bytes(), true, NOW, out) {
                let whole = out.iter().all(|byte| *byte == b'v') && [10, 50, 300, 1500, 6000].contains(&out.len());
                if entry.value != Found::Text || !whole {
                    exit_now(3);
                }
            }
        }
        _ => drop(dict.flush_expired(10, NOW + dice.roll(6))),
    }
}

fn start(zone: &Zone, seed: u64) -> Pid {
    match fork().unwrap() {
        Fork::Parent(child) => Pid::from_raw(child),
        Fork::Child => {
            shm::lock::after_fork();
            let (dict, mut dice, mut out) = (Dict::new(zone), Dice(seed), Vec::new());
            loop {
                act(&dict, &mut dice, &mut out);
            }
        }
    }
}

/// Kills workers again and again; how often that hit one in a lock, and in a change, and the longest wait of an operation.
fn rampage(size: usize, kills: u64) -> (u64, u64, Duration) {
    let zone = Zone::new("d", OWNER, size).unwrap();
    let (dict, mut dice, mut out, mut longest) = (Dict::new(&zone), Dice(7), Vec::new(), Duration::ZERO);
    let mut workers: Vec<Pid> = (0..4).map(|seed| start(&zone, seed)).collect();
    for round in 0..kills {
        std::thread::sleep(Duration::from_micros(500 + dice.roll(2000)));
        let victim = dice.roll(4) as usize;
        kill(workers[victim], Signal::SIGKILL).unwrap();
        let status = waitpid(workers[victim], None).unwrap();
        assert!(matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _)), "{status:?}");
        for _ in 0..50 {
            let begun = Instant::now();
            act(&dict, &mut dice, &mut out);
            longest = longest.max(begun.elapsed());
        }
        if round % 50 == 49 {
            dict.check().unwrap();
        }
        workers[victim] = start(&zone, 100 + round);
    }
    for worker in workers {
        kill(worker, Signal::SIGKILL).unwrap();
        waitpid(worker, None).unwrap();
    }
    dict.check().unwrap();
    assert!(longest < PATIENCE, "{longest:?}");
    dict.flush_all();
    dict.flush_expired(0, NOW);
    assert_eq!(dict.check(), Ok(shm::dict::Report::default()));
    for round in 0..1000 {
        act(&dict, &mut dice, &mut out);
        assert!(round % 100 != 0 || dict.check().is_ok());
    }
    assert!(!dict.is_empty());
    let (robbed, emptied) = dict.recoveries();
    (robbed, emptied, longest)
}

#[test]
fn a_dictionary_survives_those_who_use_it() {
    let kills = std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(150);
    for size in [1 << 18, 4 << 20] {
        let (robbed, emptied, longest) = rampage(size, kills / 2);
        println!("{size} bytes, {} kills: {robbed} in a lock, {emptied} in a change; longest operation {longest:?}", kills / 2);
        assert!(robbed > 0 && emptied <= robbed + 1, "{robbed} {emptied}");
    }
}
