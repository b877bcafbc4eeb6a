//! What happens again and again, by a timer that the kernel keeps.
//!
//! It runs on by itself, where a sleep (`time`) would be set anew each time.

use std::cell::Cell;
use std::io;
use std::time::Duration;
use sys::ticks::Ticks;
use tokio::io::unix::AsyncFd;

/// A period that repeats itself.
#[derive(Debug)]
pub struct Ticker {
    period: Duration,
    /// Without a descriptor left the timer that all share serves.
    ticks: Option<AsyncFd<Ticks>>,
    runs: Cell<bool>,
}

impl Ticker {
    /// A ticker on the current event loop, stopped until it is awaited.
    #[must_use]
    pub fn new(period: Duration) -> Ticker {
        let ticks = Ticks::new().and_then(sys::watch::readable).ok();
        Ticker { period, ticks, runs: Cell::new(false) }
    }

    /// Waits for the end of a period. Can be dropped without loss.
    pub async fn next(&self) {
        if let Some(ticks) = &self.ticks
            && self.wait(ticks).await.is_ok()
        {
            return;
        }
        crate::time::sleep(self.period).await;
    }

    async fn wait(&self, ticks: &AsyncFd<Ticks>) -> io::Result<()> {
        if !self.runs.get() {
            ticks.get_ref().start(self.period)?;
            self.runs.set(true);
        }
        loop {
            if let Ok(taken) = ticks.readable().await?.try_io(|ticks| ticks.get_ref().take()) {
                return taken;
            }
        }
    }

    /// Stops until it is awaited again.
    pub fn stop(&self) {
        if let Some(ticks) = &self.ticks
            && self.runs.replace(false)
        {
            // Should it run on, it is read later.
            let _ = ticks.get_ref().stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn it_ticks_until_it_is_stopped_and_begins_anew() {
        let ticker = Ticker::new(Duration::from_millis(20));
        let begun = Instant::now();
        for _ in 0..3 {
            ticker.next().await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(60));
        ticker.stop();
        std::thread::sleep(Duration::from_millis(30));
        let again = Instant::now();
        ticker.next().await;
        assert!(again.elapsed() >= Duration::from_millis(20), "a whole period");
    }

    #[tokio::test]
    async fn it_ticks_without_a_descriptor() {
        let ticker = Ticker { period: Duration::from_millis(5), ticks: None, runs: Cell::new(false) };
        ticker.stop();
        ticker.next().await;
        ticker.next().await;
    }
}
