//! Checks a dictionary's invariants: for tests and for post-mortem analysis.

use super::Dict;
use super::chunks::{SIZES, inventory, partial};
use super::geometry::PAGE;
use super::list::items;
use super::pool::Use;
use super::record::{Record, kind};
use super::shard::{Shard, at};
use crate::word::low;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::Ordering;

/// What a dictionary holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries, expired ones included.
    pub entries: usize,
    /// Items of lists.
    pub items: usize,
    /// Pages that are in use.
    pub pages: usize,
}

/// What is wrong with a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckError(String);

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CheckError {}

impl<T: Into<String>> From<T> for CheckError {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

/// Places in use and their sizes.
type Places = BTreeMap<usize, usize>;

impl Dict {
    /// Looks at everything, with all locks held.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<Report, CheckError> {
        let geometry = &self.arena.geometry;
        let shards: Vec<_> = (0..geometry.shards()).map(|number| self.arena.lock(number)).collect();
        let mut report = Report::default();
        for shard in &shards {
            shard_is_sound(shard, &mut report).map_err(|wrong| format!("shard {}: {wrong}", shard.number))?;
        }
        let used: Vec<_> = (0..geometry.pages).map(|page| self.arena.page_use(page)).filter(|(kind, _)| *kind != Use::Free).collect();
        if used.iter().any(|(_, owner)| *owner >= shards.len()) {
            return Err("a page is nobody's".into());
        }
        if used.len() != report.pages {
            return Err(format!("{} pages are used and {} known", used.len(), report.pages).into());
        }
        if self.arena.pool_adds_up() { Ok(report) } else { Err("the pool miscounts".into()) }
    }
}

fn ensure(good: bool, wrong: impl FnOnce() -> String) -> Result<(), CheckError> {
    if good { Ok(()) } else { Err(wrong().into()) }
}

fn shard_is_sound(shard: &Shard<'_>, report: &mut Report) -> Result<(), CheckError> {
    ensure(!shard.is_torn(), || "half-written".to_owned())?;
    let mut places = Places::new();
    let records = records(shard, &mut places, report)?;
    order_is_sound(shard, &records)?;
    pages_are_sound(shard, places, report)
}

/// The places of all records by way of the buckets.
fn records(shard: &Shard<'_>, places: &mut Places, report: &mut Report) -> Result<BTreeSet<usize>, CheckError> {
    let (arena, mut found) = (shard.arena, BTreeSet::new());
    for number in 0..arena.geometry.buckets() {
        let offset = arena.geometry.bucket(shard.number, number);
        let mut link = arena.bucket(offset).map_or(0, |bucket| low(bucket.load(Ordering::Relaxed)));
        while link != 0 {
            let record = arena.record(link).ok_or_else(|| format!("bucket {number} leads outside"))?;
            ensure(found.insert(record.offset), || format!("bucket {number}: {} is there twice", record.offset))?;
            record_is_sound(shard, record, offset, places, report).map_err(|wrong| format!("record {}: {wrong}", record.offset))?;
            link = record.next();
        }
    }
    ensure(found.len() as u64 == shard.get(at::ENTRIES), || format!("{} entries, {} counted", found.len(), shard.get(at::ENTRIES)))?;
    report.entries += found.len();
    Ok(found)
}

fn record_is_sound(
    shard: &Shard<'_>,
    record: Record<'_>,
    bucket: usize,
    places: &mut Places,
    report: &mut Report,
) -> Result<(), CheckError> {
    let arena = shard.arena;
    let mut key = Vec::new();
    ensure(record.key(arena, &mut key), || "its key leads outside".to_owned())?;
    let spot = arena.spot(&key);
    ensure((spot.shard, spot.bucket) == (shard.number, bucket), || "it is not where its key belongs".to_owned())?;
    ensure(spot.tag >> 24 == record.hash(), || "its hash is wrong".to_owned())?;
    ensure(matches!(record.kind(), kind::BOOLEAN | kind::NUMBER | kind::TEXT | kind::LIST), || format!("kind {}", record.kind()))?;
    places.insert(record.offset, record.size());
    if record.kind() == kind::LIST {
        let items = items(shard, record).ok_or("its list is broken")?;
        ensure(!items.is_empty(), || "its list is empty".to_owned())?;
        report.items += items.len();
        for (place, size) in items {
            ensure(places.insert(place, size).is_none(), || format!("item {place} is used twice"))?;
        }
    }
    Ok(())
}

/// The order of use has each record once, both ways.
fn order_is_sound(shard: &Shard<'_>, records: &BTreeSet<usize>) -> Result<(), CheckError> {
    let link = |record: Record<'_>| shard.arena.geometry.link(record.offset);
    let (mut next, mut before, mut seen) = (shard.oldest(), 0, 0);
    while let Some(record) = next {
        ensure(records.contains(&record.offset), || format!("{} is in the order only", record.offset))?;
        ensure(record.older() == before, || format!("{} is not linked both ways", record.offset))?;
        seen += 1;
        ensure(seen <= records.len(), || "the order goes in a circle".to_owned())?;
        (before, next) = (link(record), shard.arena.record(record.newer()));
    }
    ensure(seen == records.len() && u64::from(before) == shard.get(at::NEWEST), || format!("{seen} of {} in order", records.len()))
}

/// All places lie in pages of the shard, apart from each other and from free chunks; nothing else in the pages is in use.
fn pages_are_sound(shard: &Shard<'_>, mut places: Places, report: &mut Report) -> Result<(), CheckError> {
    let arena = shard.arena;
    let mut with_room = vec![BTreeSet::new(); SIZES.len()];
    let mut rest = 0;
    for page in 0..arena.geometry.pages {
        let (kind, owner) = arena.page_use(page);
        if owner != shard.number || kind == Use::Free {
            ensure(rest == 0, || format!("the run before page {page} is too short"))?;
            continue;
        }
        report.pages += 1;
        let begin = arena.geometry.page(page);
        match kind {
            Use::Rest => {
                rest = usize::checked_sub(rest, 1).ok_or_else(|| format!("page {page} belongs to no run"))?;
            }
            Use::Run { length } => {
                let size = places.remove(&begin).ok_or_else(|| format!("run {page} is not used"))?;
                ensure(size.div_ceil(PAGE) == length, || format!("run {page} has {length} pages for {size} bytes"))?;
                rest = length - 1;
            }
            Use::Chunks { class } => {
                let free = chunks_are_sound(shard, page, class, &mut places).map_err(|wrong| format!("page {page}: {wrong}"))?;
                if free > 0 {
                    with_room.get_mut(class).ok_or("no such class")?.insert(page);
                }
            }
            Use::Free => {}
        }
    }
    ensure(places.is_empty(), || format!("{places:?} are in no page of the shard"))?;
    for (class, expected) in with_room.iter().enumerate() {
        let listed: BTreeSet<_> =
            partial(shard, class).ok_or_else(|| format!("pages of class {class} are linked badly"))?.into_iter().collect();
        ensure(listed == *expected, || format!("class {class}: pages {expected:?} have room, {listed:?} are listed"))?;
    }
    Ok(())
}

/// Takes the places in a page out of `places`; how many chunks are free.
fn chunks_are_sound(shard: &Shard<'_>, page: usize, class: usize, places: &mut Places) -> Result<usize, CheckError> {
    let size = *SIZES.get(class).ok_or("no such class")?;
    let begin = shard.arena.geometry.page(page);
    let (used, cut, free) = inventory(shard, page).ok_or("free chunks lead outside")?;
    let inside: Vec<usize> = places.range(begin..begin + PAGE).map(|(place, _)| *place).collect();
    ensure(inside.len() == used && used > 0, || format!("{} chunks in use, {used} counted", inside.len()))?;
    ensure(used + free.len() == cut, || format!("{used} used and {} free of {cut}", free.len()))?;
    let mut all: BTreeSet<usize> = free.into_iter().collect();
    for place in inside {
        let taken = places.remove(&place).unwrap_or(0);
        ensure(taken <= size, || format!("{taken} bytes in a chunk of {size}"))?;
        ensure(all.insert(place), || format!("{place} is free and used"))?;
    }
    let good = |place: &usize| place.checked_sub(begin).is_some_and(|offset| offset.is_multiple_of(size) && offset / size < cut);
    ensure(all.len() == cut && all.iter().all(good), || "a chunk lies wrong".to_owned())?;
    Ok(PAGE / size - used)
}
