//! Counters that belong to a name in the configuration, such as a zone of servers: all processes read them, and each adds to a stripe
//! of its own, so that counting needs no atomic addition.
//!
//! A process enters with its account of the [`Tally`](crate::tally), whose index chooses its stripe in all meters. When it has ended, its stripe
//! goes to one that belongs to nobody. A meter lives on with the next configuration that has one of its kind and name.

use crate::tally::Account;
use std::cell::OnceCell;
use std::io;
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use sys::shared::{SharedMemory, Words};

/// What the counters showed when they were last reset.
const RESET: usize = 0;
/// What ended processes have counted.
const ENDED: usize = 1;
/// Stripes in front of that of the first account, which has the number 1.
const BEFORE: usize = 1;
/// Stripes are apart by whole cache lines.
const ALIGNMENT: usize = 8;

/// The account of this process; 0: it counts nothing.
static ACCOUNT: AtomicUsize = AtomicUsize::new(0);
/// Knows which accounts were ever opened.
static ENTERED: OnceLock<Account> = OnceLock::new();

/// Lets this process count in all meters.
pub fn enter(account: &Account) {
    ENTERED.get_or_init(|| account.clone());
    ACCOUNT.store(account.index(), Ordering::Relaxed);
}

/// A kind of meters.
#[derive(Debug)]
pub struct Kind {
    /// Its name, which differs from that of all others.
    pub name: &'static str,
    /// How many counters a meter has.
    pub counters: usize,
    /// Completes what an ended process has counted: what it had begun will not end.
    pub complete: fn(&mut [u64]),
}

impl Kind {
    /// A kind that only counts what has happened.
    #[must_use]
    pub const fn new(name: &'static str, counters: usize) -> Kind {
        Kind { name, counters, complete: |_| {} }
    }

    const fn stride(&self) -> usize {
        self.counters.next_multiple_of(ALIGNMENT)
    }
}

/// The counters of one name, summed over all processes.
#[derive(Debug)]
pub struct Meter {
    kind: &'static Kind,
    name: Box<str>,
    memory: SharedMemory,
    /// This process's stripe, once it has entered.
    own: OnceCell<Words>,
}

/// The counters of this process, looked up once for several of them.
#[derive(Clone, Copy, Debug)]
pub struct Stripe<'a, const N: usize>(&'a [AtomicU64; N]);

impl<const N: usize> Stripe<'_, N> {
    /// Adds `amount` to counter `number` of this process.
    #[inline]
    pub fn add(self, number: usize, amount: u64) {
        if let Some(counter) = self.0.get(number) {
            add(counter, amount);
        }
    }
}

/// A stripe has one writer, so no atomic addition is needed.
#[inline]
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

impl Meter {
    /// A meter at zero, for processes that are forked from now on.
    ///
    /// # Errors
    /// What mmap(2) reports.
    pub fn new(kind: &'static Kind, name: &str) -> io::Result<Meter> {
        // Pages of stripes that nobody uses are never there.
        let memory = SharedMemory::new((BEFORE + crate::tally::ACCOUNTS) * kind.stride() * 8)?;
        Ok(Meter { kind, name: name.into(), memory, own: OnceCell::new() })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn counters(&self, stripe: usize) -> Option<&[AtomicU64]> {
        self.memory.slice(stripe * self.kind.stride() * 8, self.kind.counters)
    }

    /// This process's stripe; `None`: it has not entered.
    #[inline]
    fn own(&self) -> Option<&Words> {
        match self.own.get() {
            None => self.look_for_own(),
            own => own,
        }
    }

    #[cold]
    fn look_for_own(&self) -> Option<&Words> {
        let account = Some(ACCOUNT.load(Ordering::Relaxed)).filter(|account| *account > 0)?;
        let own = self.memory.kept((BEFORE + account) * self.kind.stride() * 8, self.kind.counters)?;
        Some(self.own.get_or_init(|| own))
    }

    /// The first counters of this process; `None`: it has not entered, or the kind has fewer.
    #[inline]
    #[must_use]
    pub fn stripe<const N: usize>(&self) -> Option<Stripe<'_, N>> {
        self.own()?.first_chunk().map(Stripe)
    }

    /// As [`Meter::stripe`], where it has been asked for before; it calls nothing, which spares who counts a frame.
    #[inline]
    #[must_use]
    pub fn known_stripe<const N: usize>(&self) -> Option<Stripe<'_, N>> {
        self.own.get()?.first_chunk().map(Stripe)
    }

    /// Counts in this process's stripe.
    #[inline]
    pub fn add(&self, number: usize, amount: u64) {
        if let Some(counter) = self.own().and_then(|own| own.get(number)) {
            add(counter, amount);
        }
    }

    /// All that was ever counted.
    #[must_use]
    pub fn totals(&self) -> Vec<u64> {
        let last = ENTERED.get().map_or(0, |account| account.all().last_account());
        let mut sums = vec![0_u64; self.kind.counters];
        for counters in (ENDED..=BEFORE + last).filter_map(|stripe| self.counters(stripe)) {
            for (sum, counter) in sums.iter_mut().zip(counters) {
                *sum = sum.wrapping_add(counter.load(Ordering::Relaxed));
            }
        }
        sums
    }

    /// What was counted since the last reset.
    #[must_use]
    pub fn read(&self) -> Vec<u64> {
        let mut sums = self.totals();
        for (sum, before) in sums.iter_mut().zip(self.counters(RESET).unwrap_or_default()) {
            // An ended process's stripe may be on its way.
            *sum = sum.saturating_sub(before.load(Ordering::Relaxed));
        }
        sums
    }

    /// Lets [`Meter::read`] begin anew.
    pub fn reset(&self) {
        for (before, sum) in self.counters(RESET).unwrap_or_default().iter().zip(self.totals()) {
            before.store(sum, Ordering::Relaxed);
        }
    }

    fn retire(&self, account: usize) {
        let (Some(from), Some(to)) = (self.counters(BEFORE + account), self.counters(ENDED)) else { return };
        let mut counted: Vec<u64> = from.iter().map(|counter| counter.swap(0, Ordering::Relaxed)).collect();
        (self.kind.complete)(&mut counted);
        for (to, count) in to.iter().zip(counted) {
            to.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// The meters of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Meters {
    current: Vec<Rc<Meter>>,
    previous: Vec<Rc<Meter>>,
}

impl Meters {
    /// Those of the next configuration, which finds the meters of this one again.
    pub(crate) fn successor(&self) -> Meters {
        Meters { current: Vec::new(), previous: self.current.clone() }
    }

    pub(crate) fn drop_unclaimed(&mut self) {
        self.previous = Vec::new();
    }

    /// The meter of this name: the one that this configuration has, the one of the previous configuration, or a new one.
    ///
    /// # Errors
    /// As [`Meter::new`].
    pub fn claim(&mut self, kind: &'static Kind, name: &str) -> io::Result<Rc<Meter>> {
        let is_meant = |meter: &&Rc<Meter>| meter.kind.name == kind.name && meter.name() == name;
        if let Some(meter) = self.current.iter().find(is_meant) {
            return Ok(meter.clone());
        }
        let meter = match self.previous.iter().find(is_meant) {
            Some(meter) => meter.clone(),
            None => Rc::new(Meter::new(kind, name)?),
        };
        self.current.push(meter.clone());
        Ok(meter)
    }

    /// The meters of a kind in the order in which they were claimed.
    pub fn of<'a>(&'a self, kind: &'a Kind) -> impl Iterator<Item = &'a Rc<Meter>> {
        self.current.iter().filter(|meter| meter.kind.name == kind.name)
    }

    /// To be called by the master when a process has ended, before its account is closed.
    pub fn retire(&self, account: usize) {
        self.current.iter().for_each(|meter| meter.retire(account));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tally;

    static PLAIN: Kind = Kind::new("plain", 3);
    static BOUND: Kind = Kind { name: "bound", counters: 2, complete: |counted| counted[1] = counted[0] };

    // One test: a process has one account.
    #[test]
    fn stripes_outlive_processes_and_meters_outlive_configurations() {
        let tally = Tally::new().unwrap();
        let (one, other) = (tally.open(7).unwrap(), tally.open(8).unwrap());
        let mut first = Meters::default();
        let (meter, bound) = (first.claim(&PLAIN, "z").unwrap(), first.claim(&BOUND, "z").unwrap());
        assert!(Rc::ptr_eq(&meter, &first.claim(&PLAIN, "z").unwrap()) && !Rc::ptr_eq(&meter, &bound));
        meter.add(0, 1);
        assert_eq!(meter.totals(), [0, 0, 0], "nobody has entered");
        enter(&one);
        meter.add(0, 5);
        meter.add(9, 1);
        bound.add(0, 2);
        // As another process would.
        enter(&other);
        let as_other =
            |meter: &Meter| Meter { kind: meter.kind, name: meter.name.clone(), memory: meter.memory.clone(), own: OnceCell::new() };
        let (mine, my_bound) = (as_other(&meter), as_other(&bound));
        assert!(mine.known_stripe::<3>().is_none(), "it was not asked for");
        mine.stripe::<3>().unwrap().add(0, 1);
        mine.known_stripe::<3>().unwrap().add(0, 1);
        mine.add(2, 1);
        my_bound.add(0, 1);
        assert!(meter.stripe::<4>().is_none());
        assert_eq!((meter.read(), bound.read()), (vec![7, 0, 1], vec![3, 0]));
        meter.reset();
        meter.add(2, 4);
        assert_eq!((meter.read(), meter.totals()), (vec![0, 0, 4], vec![7, 0, 5]));
        first.retire(tally.account_of(7).unwrap());
        tally.close(7, |_| false);
        assert_eq!((meter.read(), bound.read(), tally.account_of(7)), (vec![0, 0, 4], vec![3, 2], None));
        let mut second = first.successor();
        assert_eq!(second.of(&PLAIN).count(), 0);
        assert!(Rc::ptr_eq(&second.claim(&PLAIN, "z").unwrap(), &meter));
        assert_eq!((second.claim(&PLAIN, "y").unwrap().totals(), second.of(&PLAIN).count()), (vec![0, 0, 0], 2));
        second.drop_unclaimed();
        assert_eq!(second.claim(&BOUND, "z").unwrap().totals(), [0, 0]);
    }
}
