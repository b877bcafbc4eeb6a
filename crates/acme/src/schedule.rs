//! When a certificate is asked for, renewed, and asked about. Times are seconds since 1970.

/// One hundred percent.
const WHOLE: i64 = 100;
/// Within which part of the lifetime, in percent, renewals are spread.
const SPREAD: i64 = 2;
/// Certificates that live longer are renewed after two thirds of their life, others after a half.
const LONG_LIFE: i64 = 10 * 24 * 3600;
/// The pauses after the first failures, and the one after all later.
const PAUSES: [i64; 4] = [60, 600, 6000, 24 * 3600];
/// How long what the server suggests holds, where it does not say it, and the least and the most that is believed.
const INFO: (i64, i64, i64) = (12 * 3600, 60, 24 * 3600);

/// What comes next for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// There is none yet.
    Request,
    /// It is renewed.
    Renewal,
    /// The server is asked when it should be renewed.
    Info,
    /// Nothing: the server will never give it.
    Nothing,
}

/// The schedule of one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    next: Next,
    at: i64,
    fails: usize,
    /// The end of the certificate's life.
    end: i64,
    /// Within which time it is to be renewed.
    pub(crate) window: (i64, i64),
}

impl Schedule {
    /// There is no certificate.
    pub(crate) fn missing() -> Schedule {
        Schedule { next: Next::Request, at: 0, fails: 0, end: 0, window: (0, 0) }
    }

    /// There is one with this validity. Whether the server has suggestions is asked first.
    pub(crate) fn of(validity: (i64, i64)) -> Schedule {
        Schedule { next: Next::Info, at: 0, fails: 0, end: validity.1, window: renewal_window(validity) }
    }

    /// Whether a certificate is to be asked for.
    pub(crate) fn wants_certificate(&self, now: i64) -> bool {
        matches!(self.next, Next::Request | Next::Renewal) && self.at <= now
    }

    /// Whether the server is to be asked when to renew.
    pub(crate) fn wants_info(&self, now: i64) -> bool {
        self.next == Next::Info && self.at <= now
    }

    /// When something is to be done, if ever.
    pub(crate) fn at(&self) -> Option<i64> {
        (self.next != Next::Nothing).then_some(self.at)
    }

    /// The server has no suggestions: the certificate's life says when it is renewed.
    pub(crate) fn by_life(&mut self, chance: u64) {
        (self.next, self.fails) = (Next::Renewal, 0);
        self.at = point(self.window, chance);
    }

    /// The server suggests a window, which holds for so many seconds. False: it makes no sense.
    pub(crate) fn suggested(&mut self, window: (i64, i64), holds: Option<u64>, now: i64, chance: u64) -> bool {
        if window.1 > self.end {
            self.failed(now, chance);
            return false;
        }
        let (usual, least, most) = INFO;
        let expires = now + holds.map_or(usual, |holds| i64::try_from(holds).unwrap_or(most).max(least).min(most));
        let renewal = point(window, chance);
        (self.window, self.fails) = (window, 0);
        (self.next, self.at) = if renewal < expires { (Next::Renewal, renewal) } else { (Next::Info, expires) };
        true
    }

    /// What was to be done has failed.
    pub(crate) fn failed(&mut self, now: i64, chance: u64) {
        let pause = PAUSES.get(self.fails).or(PAUSES.last()).copied().unwrap_or_default();
        let at = now + pause + point((0, pause * SPREAD / WHOLE), chance);
        if self.next == Next::Info && at >= self.window.1 {
            return self.by_life(chance);
        }
        (self.at, self.fails) = (at, self.fails + 1);
    }

    /// Not before this pause is over.
    pub(crate) fn postponed(&mut self, now: i64, pause: u64) {
        self.at = now.saturating_add_unsigned(pause);
    }

    /// Nothing more will be asked.
    pub(crate) fn is_exhausted(&mut self) {
        self.next = Next::Nothing;
    }
}

/// As Let's Encrypt recommends.
fn renewal_window((start, end): (i64, i64)) -> (i64, i64) {
    let life = end.saturating_sub(start).max(0);
    let middle = start + if life > LONG_LIFE { life / 3 * 2 } else { life / 2 };
    let spread = life / WHOLE * SPREAD;
    (middle - spread, middle + spread)
}

/// Somewhere within a window.
fn point((start, end): (i64, i64), chance: u64) -> i64 {
    let length = u64::try_from(end.saturating_sub(start)).unwrap_or(0).saturating_add(1);
    start.saturating_add_unsigned(chance % length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    #[test]
    fn renewals_follow_the_life_of_a_certificate() {
        for (days, from, to) in [(90, 58, 62), (10, 4, 6), (6, 2, 4)] {
            let mut schedule = Schedule::of((0, days * DAY));
            assert!(schedule.wants_info(0) && !schedule.wants_certificate(0));
            for chance in [0, 1, u64::MAX] {
                schedule.by_life(chance);
                let at = schedule.at().unwrap();
                assert!((from * DAY..=to * DAY).contains(&at), "{days}: {at}");
                assert!(!schedule.wants_certificate(at - 1) && schedule.wants_certificate(at));
            }
        }
    }

    #[test]
    fn failures_are_farther_and_farther_apart() {
        let mut schedule = Schedule::missing();
        assert!(schedule.wants_certificate(0));
        for pause in [60, 600, 6000, DAY, DAY] {
            schedule.failed(1000, 0);
            assert_eq!(schedule.at(), Some(1000 + pause));
        }
        schedule.postponed(1000, 7);
        assert_eq!(schedule.at(), Some(1007));
        schedule.is_exhausted();
        assert!(schedule.at().is_none() && !schedule.wants_certificate(i64::MAX));
    }

    #[test]
    fn suggestions_are_followed_while_they_hold() {
        let mut schedule = Schedule::of((0, 90 * DAY));
        // Far away: asked again when what was said holds no more.
        assert!(schedule.suggested((50 * DAY, 51 * DAY), None, 100, 0));
        assert_eq!((schedule.at(), schedule.wants_info(100 + 12 * 3600)), (Some(100 + 12 * 3600), true));
        for (holds, expected) in [(1, 60), (u64::MAX, DAY), (3600, 3600)] {
            assert!(schedule.suggested((50 * DAY, 51 * DAY), Some(holds), 0, 0));
            assert_eq!(schedule.at(), Some(expected));
        }
        // In the past: at once.
        assert!(schedule.suggested((10, 20), None, 100, 0));
        assert!(schedule.wants_certificate(100));
        // Behind the end of its life: not believed.
        let mut schedule = Schedule::of((0, 90 * DAY));
        assert!(!schedule.suggested((80 * DAY, 91 * DAY), None, 100, 0));
        assert_eq!(schedule.at(), Some(160));
    }

    #[test]
    fn who_cannot_be_asked_in_time_is_not_waited_for() {
        let mut schedule = Schedule::of((0, 90 * DAY));
        schedule.failed(70 * DAY, 0);
        assert!(schedule.wants_certificate(70 * DAY));
    }
}
