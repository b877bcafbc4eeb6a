//! What the limits share: zones declared by one directive and named by another, before or after it, and how refusals are
//! answered and logged.

use base::log::Level;
use base::saturated::Saturated;
use base::text;
use conf::context::Arity;
use conf::row::{self, Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use session::variable::NO_CACHE;
use session::{Client, Complex, Configured, Session, Variables, log_client};
use shm::meter::Kind;
use shm::{ClaimError, Meter, Zone, Zones};
use std::cell::{Cell, OnceCell};
use std::marker::PhantomData;
use std::rc::Rc;

/// What came of a limit, by the place of its counter in a zone's meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Verdict {
    Passed,
    Rejected,
    RejectedDryRun,
    Delayed,
    DelayedDryRun,
}

/// Zones of `limit_req`.
pub(crate) static REQUESTS: Kind = Kind::new("limit_req", 5);
/// Zones of `limit_conn` in `http`.
pub(crate) static CONNECTIONS: Kind = Kind::new("limit_conn", 3);
/// Zones of `limit_conn` in `stream`.
pub(crate) static STREAM_CONNECTIONS: Kind = Kind::new("limit_conn of streams", 3);

impl Verdict {
    /// The value of `$limit_X_status`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Verdict::Passed => "PASSED",
            Verdict::Rejected => "REJECTED",
            Verdict::RejectedDryRun => "REJECTED_DRY_RUN",
            Verdict::Delayed => "DELAYED",
            Verdict::DelayedDryRun => "DELAYED_DRY_RUN",
        }
    }

    /// Of a limit that refuses.
    pub(crate) fn refused(dry: bool) -> Verdict {
        if dry { Verdict::RejectedDryRun } else { Verdict::Rejected }
    }
}

impl<S, T> Declared<S, T> {
    /// Counts what came of it.
    pub(crate) fn count(&self, verdict: Verdict) {
        self.meter.add(verdict as usize, 1);
    }
}

/// A zone with the key that counts in it, once it is declared.
pub(crate) struct Declared<S, T> {
    /// The zone.
    pub(crate) zone: Rc<Zone>,
    /// What is counted.
    pub(crate) key: Complex<S>,
    /// What came of it.
    pub(crate) meter: Rc<Meter>,
    /// More that the declaration says.
    pub(crate) extra: T,
}

/// A zone by name: a place that its declaration fills.
pub(crate) struct LimitZone<S, T> {
    pub(crate) name: Box<str>,
    /// Where it was named first.
    named: Error,
    pub(crate) declared: OnceCell<Declared<S, T>>,
}

/// All zones of one kind of limit in a protocol's configuration.
pub(crate) struct LimitZones<S, T> {
    list: Vec<Rc<LimitZone<S, T>>>,
}

impl<S, T> Default for LimitZones<S, T> {
    fn default() -> Self {
        LimitZones { list: Vec::new() }
    }
}

impl<S, T> LimitZones<S, T> {
    /// The place called `name`, made if nobody named it yet; `named` is an error where it is named now.
    pub(crate) fn place(&mut self, name: &str, named: Error) -> Rc<LimitZone<S, T>> {
        if let Some(place) = self.list.iter().find(|p| *p.name == *name) {
            return place.clone();
        }
        let place = Rc::new(LimitZone { name: name.into(), named, declared: OnceCell::new() });
        self.list.push(place.clone());
        place
    }

    /// Checks that every zone that was named is declared.
    ///
    /// # Errors
    /// nginx's `zero size shared memory zone "x"`.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.list.iter().find(|p| p.declared.get().is_none()) {
            Some(place) => Err(Error { message: format!("zero size shared memory zone \"{}\"", place.name), ..place.named.clone() }),
            None => Ok(()),
        }
    }
}

/// Reads `zone=NAME:SIZE` from argument `i`.
///
/// # Errors
/// nginx's texts.
pub(crate) fn zone_and_size(cx: &Cx<'_>, i: usize) -> Result<(String, usize), Error> {
    let whole = cx.text(i);
    let value = whole.strip_prefix("zone=").unwrap_or(&whole);
    let invalid = || cx.error_at(i, format!("invalid zone size \"{whole}\""));
    let (name, size) = value.split_once(':').ok_or_else(invalid)?;
    let size = text::parse_size(size.as_bytes(), false).and_then(|s| usize::try_from(s).ok()).ok_or_else(invalid)?;
    if size < shm::zone::MIN_SIZE {
        return Err(cx.error_at(i, format!("zone \"{whole}\" is too small")));
    }
    Ok((name.to_owned(), size))
}

/// Declares a zone: maps it, or takes over the one of the configuration before. `kind` tells zones of different protocols and limits
/// apart; `title` is nginx's word for the limit where a zone that is kept has another key.
///
/// # Errors
/// nginx's texts for a zone that is bound already, or kept with another key.
pub(crate) fn declare<S: Session, T: 'static>(
    cx: &Cx<'_>,
    (kind, title): (&'static Kind, &str),
    zone: (String, usize),
    extra: T,
) -> Result<(), Error> {
    let (name, size) = zone;
    if name.is_empty() {
        return Err(cx.error(format!("\"{}\" must have \"zone\" parameter", cx.name())));
    }
    let key = Complex::compile(cx.arg(0), &mut cx.global::<Variables<S>>()).map_err(|e| cx.error_at(0, e))?;
    let place = cx.main::<LimitZones<S, T>>().place(&name, cx.error(""));
    if let Some(declared) = place.declared.get() {
        if declared.zone.size() != size {
            return Err(cx.error(ClaimError::OtherSize(name, size, declared.zone.size()).to_string()));
        }
        let bound = String::from_utf8_lossy(declared.key.source());
        return Err(cx.error(format!("{} \"{name}\" is already bound to key \"{bound}\"", cx.name())));
    }
    let zone = match cx.global::<Zones>().claim(&name, kind.name, size) {
        Ok(zone) => zone,
        Err(ClaimError::Bound(zone)) => zone,
        Err(error) => return Err(cx.error(error.to_string())),
    };
    {
        zone.prepare();
        let mut note = zone.note.borrow_mut();
        if note.is_empty() {
            note.extend_from_slice(key.source());
        } else if **note != *key.source() {
            let (new, old) = (String::from_utf8_lossy(key.source()), String::from_utf8_lossy(&note));
            return Err(cx.error(format!("{title} \"{name}\" uses the \"{new}\" key while previously it used the \"{old}\" key")));
        }
    }
    let meter = cx.global::<Zones>().meters.claim(kind, &name);
    let meter = meter.map_err(|error| cx.error(ClaimError::Map(name, error).to_string()))?;
    // The place was empty a moment ago.
    let _ = place.declared.set(Declared { zone, key, meter, extra });
    Ok(())
}

/// The status of refusals, 400 to 599.
///
/// # Errors
/// nginx's `value must be between 400 and 599`.
pub(crate) fn status(cx: &Cx<'_>) -> Result<u64, Error> {
    let status = cx.number(0)?;
    if (400..=599).contains(&status) { Ok(status) } else { Err(cx.error_at(0, "value must be between 400 and 599")) }
}

/// What a location says of one kind of limit.
pub(crate) struct Conf<L> {
    pub(crate) limits: Option<Vec<L>>,
    level: Option<Level>,
    status: Option<u64>,
    dry_run: Option<bool>,
}

impl<L> Default for Conf<L> {
    fn default() -> Self {
        Conf { limits: None, level: None, status: None, dry_run: None }
    }
}

impl<L: Clone + 'static> Config for Conf<L> {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; limits, level, status, dry_run);
    }
}

impl<L> Conf<L> {
    /// At which level refusals are logged.
    pub(crate) fn level(&self) -> Level {
        self.level.unwrap_or(Level::Error)
    }

    /// The status of refused requests.
    pub(crate) fn status(&self) -> u16 {
        u16::saturated(self.status.unwrap_or(503))
    }

    /// Whether nothing is refused in truth.
    pub(crate) fn is_dry(&self) -> bool {
        self.dry_run == Some(true)
    }
}

/// `limit_X_log_level` and `limit_X_dry_run`, by these names.
pub(crate) fn rows<S: Configured, L: Clone + 'static>(log_level: &'static str, dry_run: &'static str) -> [Row; 2] {
    let at = S::BLOCKS;
    let levels = [("info", Level::Info), ("notice", Level::Notice), ("warn", Level::Warn), ("error", Level::Error)];
    [
        Row::new(log_level, at, Arity::exactly(1), "Level at which refusals are logged.", move |cx| {
            let level = cx.choice(0, &levels)?;
            cx.once(&mut cx.location::<Conf<L>>().level, level)
        }),
        row::flag::<Conf<L>>(dry_run, at, "Counts and logs but refuses nothing.", |c| &mut c.dry_run),
    ]
}

/// `limit_X_status`, by this name.
pub(crate) fn status_row<S: Configured, L: Clone + 'static>(name: &'static str) -> Row {
    Row::new(name, S::BLOCKS, Arity::exactly(1), "Status of refused requests.", |cx| {
        let status = status(cx)?;
        cx.once(&mut cx.location::<Conf<L>>().status, status)
    })
}

/// What came of one kind of limit, for its variable; also says that the limits have been applied.
pub(crate) struct Status<L>(pub(crate) Cell<&'static str>, PhantomData<L>);

impl<L> Default for Status<L> {
    fn default() -> Self {
        Status(Cell::default(), PhantomData)
    }
}

/// Defines `$limit_X_status`.
pub(crate) fn define_status<S: Configured, L: 'static>(variables: &mut Variables<S>, name: &str) {
    let get = |session: &S, out: &mut Vec<u8>| {
        let status = session.session_context::<Status<L>>().0.get();
        out.extend_from_slice(status.as_bytes());
        !status.is_empty()
    };
    variables.define(name, NO_CACHE, Rc::new(get));
}

/// Whether a key is short enough; logs it if not.
pub(crate) fn fits<S: Client, T>(session: &S, declared: &Declared<S, T>, key: &[u8], most: usize) -> bool {
    if key.len() <= most {
        return true;
    }
    let (name, value) = (String::from_utf8_lossy(declared.key.source()), String::from_utf8_lossy(key));
    log_client!(session, Level::Error, "the value of the \"{name}\" key is more than {most} bytes: \"{value}\"");
    false
}
