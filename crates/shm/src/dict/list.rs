//! Lists in a dictionary. The block of a list is: kind, length, first and last item; an item is: the neighbours, then
//! a value block.

use super::{Dict, Found, LIST, Refusal, Value, kind_of, read_value, write_value};
use crate::table::Record;

const LENGTH: usize = 8;
/// Ends of a list, and an item's neighbours in the same order.
const ENDS: [usize; 2] = [16, 24];
const LINKS: [usize; 2] = [0, 8];
const VALUE: usize = 16;

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `lpush`, `lpop`
    Left,
    /// `rpush`, `rpop`
    Right,
}

impl End {
    /// Where the block names the item at this end, and the one at the other end.
    fn ends(self) -> (usize, usize) {
        let [left, right] = ENDS;
        if self == End::Left { (left, right) } else { (right, left) }
    }

    /// Where an item names its neighbour towards this end, and the one away from it.
    fn links(self) -> (usize, usize) {
        let [left, right] = LINKS;
        if self == End::Left { (left, right) } else { (right, left) }
    }
}

impl Dict<'_> {
    pub(super) fn free_items(&self, block: usize) {
        let g = self.guard;
        let (first, _) = End::Left.ends();
        let (_, onward) = End::Left.links();
        let mut item = g.get(block + first) as usize;
        for _ in 0..g.get(block + LENGTH) {
            let next = g.get(item + onward) as usize;
            g.free(item);
            item = next;
        }
    }

    fn list(&self, key: &[u8]) -> Result<Option<(Record, usize)>, Refusal> {
        let Some(record) = self.live(key) else { return Ok(None) };
        if !self.is_list(record) {
            return Err(Refusal::NotList);
        }
        Ok(Some((record, record.value(self.guard, 1) as usize)))
    }

    fn new_list(&self, key: &[u8]) -> Option<(Record, usize)> {
        let g = self.guard;
        self.delete(key);
        let block = self.make_room(32, None, &mut false, || g.allocate(32))?;
        let Some(record) = self.make_room(key.len(), None, &mut false, || self.table.insert(g, key)) else {
            g.free(block);
            return None;
        };
        g.set(block, LIST);
        for offset in [LENGTH, 16, 24] {
            g.set(block + offset, 0);
        }
        record.set_value(g, 1, block as u64);
        Some((record, block))
    }

    /// Adds an item at an end of a list, which is made if there is none; answers the new length.
    ///
    /// # Errors
    /// [`Refusal::NotList`], [`Refusal::NoMemory`].
    pub fn push(&self, key: &[u8], end: End, value: Value<'_>) -> Result<u64, Refusal> {
        let g = self.guard;
        self.tidy();
        let (record, block) = match self.list(key)? {
            Some(found) => found,
            None => self.new_list(key).ok_or(Refusal::NoMemory)?,
        };
        self.table.touch(g, record);
        let size = VALUE + 16 + kind_of(value).2.len();
        let Some(item) = self.make_room(size, Some(record), &mut false, || g.allocate(size)) else {
            if g.get(block + LENGTH) == 0 {
                self.remove(record);
            }
            return Err(Refusal::NoMemory);
        };
        let ((here, there), (outward, inward)) = (end.ends(), end.links());
        let neighbour = g.get(block + here);
        g.set(item + outward, 0);
        g.set(item + inward, neighbour);
        write_value(g, item + VALUE, value, 0);
        match neighbour {
            0 => g.set(block + there, item as u64),
            neighbour => g.set(neighbour as usize + outward, item as u64),
        }
        g.set(block + here, item as u64);
        let length = g.get(block + LENGTH) + 1;
        g.set(block + LENGTH, length);
        Ok(length)
    }

    /// Takes the item at an end; the entry goes with its last item.
    ///
    /// # Errors
    /// [`Refusal::NotList`]
    pub fn pop(&self, key: &[u8], end: End, out: &mut Vec<u8>) -> Result<Option<Found>, Refusal> {
        let g = self.guard;
        let Some((record, block)) = self.list(key)? else { return Ok(None) };
        let ((here, there), (outward, inward)) = (end.ends(), end.links());
        let item = g.get(block + here) as usize;
        let value = read_value(g, item + VALUE, out);
        let next = g.get(item + inward);
        g.set(block + here, next);
        match next {
            0 => g.set(block + there, 0),
            next => g.set(next as usize + outward, 0),
        }
        g.free(item);
        let length = g.get(block + LENGTH).saturating_sub(1);
        g.set(block + LENGTH, length);
        if length == 0 {
            self.remove(record);
        } else {
            self.table.touch(g, record);
        }
        Ok(value)
    }

    /// Number of items; 0 where nothing is.
    ///
    /// # Errors
    /// [`Refusal::NotList`]
    pub fn length(&self, key: &[u8]) -> Result<u64, Refusal> {
        Ok(self.list(key)?.map_or(0, |(_, block)| self.guard.get(block + LENGTH)))
    }
}
