//! Sleeping and limits of time, by one timer of the kernel for each event loop.
//!
//! The event loop has no timers of its own. If it had, each of its turns would search them and look at the clock twice, which costs a
//! small request a tenth of its instructions, and the kernel would set and cancel a timer whenever the loop sleeps.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};
use sys::ticks::Ticks;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Handle, Id};

/// Longer than anything waits.
const FOREVER: Duration = Duration::from_secs(1 << 30);

thread_local! {
    static ALARM: RefCell<Option<Rc<Alarm>>> = const { RefCell::new(None) };
}

/// What sleeps on one event loop, and what wakes it.
#[derive(Debug)]
struct Alarm {
    event_loop: Id,
    timer: AsyncFd<Ticks>,
    ring: Waker,
    /// By time, and by the order in which they came.
    sleeping: RefCell<BTreeMap<(Instant, u64), Rc<Sleeper>>>,
    last: Cell<u64>,
    /// When the timer rings.
    rings_at: Cell<Option<Instant>>,
}

#[derive(Debug)]
struct Sleeper {
    number: u64,
    waker: RefCell<Waker>,
    is_due: Cell<bool>,
}

/// What the event loop calls when the timer has rung. It is no task: it wakes those that are due.
struct Ring;

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        let alarm = ALARM.with_borrow(Option::clone);
        if let Some(alarm) = alarm {
            alarm.ring();
        }
    }
}

impl Alarm {
    /// That of the current event loop.
    fn current() -> io::Result<Rc<Alarm>> {
        let event_loop = Handle::try_current().map_err(io::Error::other)?.id();
        let known = ALARM.with_borrow(|alarm| alarm.clone().filter(|alarm| alarm.event_loop == event_loop));
        if let Some(alarm) = known {
            return Ok(alarm);
        }
        let alarm = Rc::new(Alarm {
            event_loop,
            timer: sys::watch::readable(Ticks::new()?)?,
            ring: Arc::new(Ring).into(),
            sleeping: RefCell::default(),
            last: Cell::new(0),
            rings_at: Cell::new(None),
        });
        alarm.listen();
        ALARM.set(Some(alarm.clone()));
        Ok(alarm)
    }

    /// Waits for the next ring. What is to be read from the timer is of no interest: each ring is an event of its own.
    fn listen(&self) {
        let mut cx = Context::from_waker(&self.ring);
        while let Poll::Ready(Ok(mut rung)) = self.timer.poll_read_ready(&mut cx) {
            rung.clear_ready();
        }
    }

    fn ring(&self) {
        self.rings_at.set(None);
        self.listen();
        let now = Instant::now();
        let due = {
            let mut sleeping = self.sleeping.borrow_mut();
            let later = sleeping.split_off(&(now, u64::MAX));
            std::mem::replace(&mut *sleeping, later)
        };
        let next = self.sleeping.borrow().keys().next().map(|(time, _)| *time);
        if let Some(next) = next {
            self.ring_by(next);
        }
        for sleeper in due.into_values() {
            sleeper.is_due.set(true);
            sleeper.waker.borrow().wake_by_ref();
        }
    }

    /// A ring that comes before it is left as it is.
    fn ring_by(&self, time: Instant) {
        if self.rings_at.get().is_none_or(|at| time < at) {
            self.rings_at.set(Some(time));
            // It can only refuse what no clock can show.
            drop(self.timer.get_ref().ring_after(time.saturating_duration_since(Instant::now())));
        }
    }

    fn enter(&self, time: Instant, waker: Waker) -> Rc<Sleeper> {
        let number = self.last.get().wrapping_add(1);
        self.last.set(number);
        let sleeper = Rc::new(Sleeper { number, waker: RefCell::new(waker), is_due: Cell::new(false) });
        self.sleeping.borrow_mut().insert((time, number), sleeper.clone());
        self.ring_by(time);
        sleeper
    }
}

/// Prepares the current event loop, so that a lack of descriptors shows at once.
///
/// # Errors
/// What timerfd_create(2) reports.
pub fn prepare() -> io::Result<()> {
    Alarm::current().map(drop)
}

/// Ready at a time, never before.
#[derive(Debug)]
#[must_use = "it sleeps when it is awaited"]
pub struct Sleep {
    at: Instant,
    /// Where it waits, once it does.
    place: Option<(Rc<Alarm>, Rc<Sleeper>)>,
}

/// Sleeps for so long.
pub fn sleep(time: Duration) -> Sleep {
    sleep_until(after(time))
}

/// Sleeps until then.
pub fn sleep_until(at: Instant) -> Sleep {
    Sleep { at, place: None }
}

fn after(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now + FOREVER)
}

impl Sleep {
    /// When it is over.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.at
    }

    /// Sleeps until then instead. Who waits has to poll it again.
    pub fn reset(&mut self, at: Instant) {
        self.leave();
        self.at = at;
    }

    fn leave(&mut self) {
        if let Some((alarm, sleeper)) = self.place.take()
            && !sleeper.is_due.get()
        {
            alarm.sleeping.borrow_mut().remove(&(self.at, sleeper.number));
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let at = self.at;
        if let Some((_, sleeper)) = &self.place {
            if sleeper.is_due.get() {
                return Poll::Ready(());
            }
            sleeper.waker.borrow_mut().clone_from(cx.waker());
            return Poll::Pending;
        }
        if at <= Instant::now() {
            return Poll::Ready(());
        }
        match Alarm::current() {
            Ok(alarm) => {
                let sleeper = alarm.enter(at, cx.waker().clone());
                self.place = Some((alarm, sleeper));
            }
            // Without a descriptor left it looks at the clock in each turn.
            Err(_) => cx.waker().wake_by_ref(),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The time was over before what was waited for came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// Waits for `work`, at most for so long.
///
/// # Errors
/// The time is over.
pub fn timeout<T>(limit: Duration, work: impl Future<Output = T>) -> impl Future<Output = Result<T, Elapsed>> {
    timeout_at(after(limit), work)
}

/// Waits for `work`, at most until then.
///
/// # Errors
/// The time is over.
pub async fn timeout_at<T>(at: Instant, work: impl Future<Output = T>) -> Result<T, Elapsed> {
    let (mut work, mut limit) = (pin!(work), sleep_until(at));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending => Pin::new(&mut limit).poll(cx).map(|()| Err(Elapsed)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeping() -> usize {
        Alarm::current().unwrap().sleeping.borrow().len()
    }

    async fn took(milliseconds: u64) -> Duration {
        let begun = Instant::now();
        sleep(Duration::from_millis(milliseconds)).await;
        begun.elapsed()
    }

    #[tokio::test]
    async fn sleeps_end_in_any_order_and_never_early() {
        let all = tokio::join!(took(50), took(5), took(0), took(20));
        for (took, asked) in [(all.0, 50), (all.1, 5), (all.2, 0), (all.3, 20)] {
            assert!(took >= Duration::from_millis(asked), "{took:?} instead of {asked}");
        }
        assert_eq!(sleeping(), 0);
    }

    #[tokio::test]
    async fn what_is_given_up_wakes_nobody_and_leaves_nothing() {
        let mut given_up = sleep(FOREVER);
        assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut given_up).poll(cx).is_pending())).await);
        assert_eq!(sleeping(), 1);
        // An earlier one comes, and a later one is left.
        took(5).await;
        assert_eq!(sleeping(), 1);
        given_up.reset(Instant::now() + Duration::from_millis(5));
        assert_eq!(sleeping(), 0);
        (&mut given_up).await;
        assert!(given_up.deadline() <= Instant::now());
        given_up.reset(Instant::now());
        given_up.await;
        let mut dropped = sleep(Duration::MAX);
        assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut dropped).poll(cx).is_pending())).await);
        drop(dropped);
        assert_eq!(sleeping(), 0);
    }

    #[tokio::test]
    async fn a_limit_ends_what_does_not_come() {
        let short = Duration::from_millis(5);
        assert_eq!(timeout(FOREVER, took(1)).await.map(|_| ()), Ok(()));
        assert_eq!(timeout(short, std::future::pending::<()>()).await, Err(Elapsed));
        assert_eq!(timeout(Duration::ZERO, std::future::pending::<()>()).await, Err(Elapsed));
        assert_eq!(timeout_at(Instant::now(), async { 1 }).await, Ok(1), "what is there needs no time");
        assert_eq!(sleeping(), 0);
    }

    #[test]
    fn each_event_loop_has_its_own() {
        for _ in 0..3 {
            let event_loop = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            event_loop.block_on(async {
                prepare().unwrap();
                let spent = tokio::task::LocalSet::new().run_until(async { tokio::task::spawn_local(took(5)).await.unwrap() }).await;
                assert!(spent >= Duration::from_millis(5));
            });
        }
        assert!(prepare().is_err(), "there is none");
    }
}
