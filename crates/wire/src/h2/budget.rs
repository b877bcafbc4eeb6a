//! Budgets that a peer's frames are charged to, one per class of frame.
//!
//! Each protects from a flood that costs the sender little and the server much, or that gets it nothing done at all. A budget fills
//! again with time and with useful work, so that a connection which lives for days and sends a PING now and then, or uploads
//! gigabytes, never runs out of it. All is counting: no memory, and constant time.

use super::error::{ErrorCode, Failure};

/// A budget is used up: the connection must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flood(pub Class);

impl From<Flood> for Failure {
    fn from(Flood(class): Flood) -> Self {
        let text = match class {
            Class::Priority => "client sent too many PRIORITY frames",
            Class::Reset => "client sent too many refused streams",
            _ => "http2 flood detected",
        };
        Self::new(ErrorCode::ENHANCE_YOUR_CALM, text)
    }
}

/// What a frame is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Class {
    /// Streams that end early, by whose fault ever: RST_STREAM from the peer (CVE-2023-44487), errors that it provokes from us
    /// (CVE-2025-8671), and refused streams.
    Reset,
    /// SETTINGS (CVE-2019-9515).
    Settings,
    /// PING (CVE-2019-9512).
    Ping,
    /// DATA without content, or with next to none (CVE-2019-9511, CVE-2019-9518).
    SmallData,
    /// PRIORITY and PRIORITY_UPDATE (CVE-2019-9513).
    Priority,
    /// WINDOW_UPDATE.
    Window,
    /// Frames of unknown type, GOAWAY, and frames on streams that are over.
    Ignored,
}

const CLASSES: usize = 7;

struct Rate {
    /// What there is at first, and at most.
    burst: i64,
    /// What a second gives back.
    second: i64,
}

const fn rate(class: usize) -> Rate {
    let (burst, second) = match class {
        0 => (500, 5),
        1 => (200, 1),
        2 => (1000, 10),
        3 => (8000, 100),
        4 => (1000, 10),
        5 => (4000, 100),
        _ => (2000, 20),
    };
    Rate { burst, second }
}

/// WINDOW_UPDATE frames that a peer may owe for DATA frames: those of 8 GiB.
const ANSWERS: i64 = 1 << 20;

/// The budgets of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    remaining: [i64; CLASSES],
    now: u64,
}

impl Default for Budget {
    fn default() -> Self {
        let mut left = [0; CLASSES];
        for (class, left) in left.iter_mut().enumerate() {
            *left = rate(class).burst;
        }
        Self { remaining: left, now: 0 }
    }
}

impl Budget {
    /// PRIORITY frames are limited by how many streams there can be, as in nginx. All open streams may be given up at once.
    #[must_use]
    pub(crate) fn new(streams: usize) -> Self {
        let mut budget = Self::default();
        let resets = i64::try_from(2 * streams.min(2000)).unwrap_or(0);
        budget.set(Class::Reset, resets.max(rate(Class::Reset as usize).burst));
        budget.set(Class::Priority, i64::try_from(streams).unwrap_or(i64::MAX).max(100).min(rate(Class::Priority as usize).burst));
        budget
    }

    fn set(&mut self, class: Class, value: i64) {
        if let Some(left) = self.remaining.get_mut(class as usize) {
            *left = value;
        }
    }

    /// Time gives back what it gives; `seconds` may start anywhere.
    pub(crate) fn tick(&mut self, seconds: u64) {
        if seconds == self.now {
            return;
        }
        let passed = if self.now == 0 { 0 } else { i64::try_from(seconds.saturating_sub(self.now)).unwrap_or(0).min(10_000) };
        self.now = seconds;
        for (class, left) in self.remaining.iter_mut().enumerate() {
            let rate = rate(class);
            *left = (*left + passed * rate.second).min(rate.burst.max(*left));
        }
    }

    /// Useful work gives back.
    pub(crate) fn credit(&mut self, class: Class, amount: i64) {
        if let Some(left) = self.remaining.get_mut(class as usize) {
            *left = (*left + amount).min(rate(class as usize).burst.max(*left));
        }
    }

    /// Charges `amount`.
    ///
    /// # Errors
    /// [`Flood`].
    pub(crate) fn charge(&mut self, class: Class, amount: i64) -> Result<(), Flood> {
        let Some(left) = self.remaining.get_mut(class as usize) else { return Ok(()) };
        *left -= amount;
        if *left >= 0 {
            return Ok(());
        }
        Err(Flood(class))
    }

    /// A stream was answered to its end.
    pub(crate) fn served(&mut self) {
        self.credit(Class::Reset, 1);
        self.credit(Class::Settings, 1);
        self.credit(Class::Ping, 1);
        self.credit(Class::Priority, 2);
        self.credit(Class::Window, 4);
        self.credit(Class::Ignored, 1);
    }

    /// DATA with so much content came.
    ///
    /// # Errors
    /// It was too little too often.
    pub(crate) fn data(&mut self, content: usize, end: bool) -> Result<(), Flood> {
        let earned = i64::try_from(content / 8).unwrap_or(i64::MAX);
        // The end of a stream comes once, and often alone.
        let cost = if end {
            0
        } else if content == 0 {
            80
        } else {
            1
        };
        self.credit(Class::SmallData, earned);
        if cost > earned { self.charge(Class::SmallData, cost - earned) } else { Ok(()) }
    }

    /// DATA was sent, which the peer may answer with a WINDOW_UPDATE each for the stream and the connection. Unlike time, this gives
    /// more than the burst: a client with large windows answers thousands of frames at once when it is late.
    pub(crate) fn sent_data(&mut self) {
        if let Some(left) = self.remaining.get_mut(Class::Window as usize) {
            *left = (*left + 2).min(ANSWERS);
        }
        self.credit(Class::SmallData, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_may_be_answered_late() {
        let mut budget = Budget::default();
        let burst = rate(Class::Window as usize).burst;
        (0..burst).for_each(|_| budget.sent_data());
        budget.tick(1);
        budget.tick(2);
        assert!((0..3 * burst).all(|_| budget.charge(Class::Window, 1).is_ok()));
        assert!(budget.charge(Class::Window, 1).is_err());
    }

    #[test]
    fn time_and_work_give_back_but_never_above_the_burst() {
        let mut budget = Budget::default();
        budget.tick(1000);
        for _ in 0..1000 {
            assert!(budget.charge(Class::Ping, 1).is_ok());
        }
        budget.tick(1001);
        for _ in 0..10 {
            assert!(budget.charge(Class::Ping, 1).is_ok());
        }
        assert!(budget.clone().charge(Class::Ping, 1).is_err());
        budget.served();
        assert!(budget.charge(Class::Ping, 1).is_ok());
        budget.tick(1_000_000);
        assert!(budget.charge(Class::Ping, 1000).is_ok());
        assert!(budget.charge(Class::Ping, 1).is_err());
    }

    #[test]
    fn a_ping_a_second_for_a_day_is_no_flood() {
        let mut budget = Budget::default();
        for second in 1..86_400 {
            budget.tick(second);
            assert!(budget.charge(Class::Ping, 1).is_ok());
        }
    }

    #[test]
    fn content_pays_for_its_frame() {
        let mut budget = Budget::default();
        for _ in 0..1_000_000 {
            assert!(budget.data(8, false).is_ok());
        }
        let frames = (0..).find(|_| budget.data(1, false).is_err()).unwrap_or(0);
        assert!(frames <= 10_000, "{frames}");
    }
}
