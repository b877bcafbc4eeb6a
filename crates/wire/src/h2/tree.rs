//! RFC 7540's tree of priorities, as nginx keeps it: a stream is sent after those it depends on, siblings by their weight.
//!
//! Nothing is kept until the peer uses it. Streams that are over stay for a while, because others may depend on them.

/// A dependency as PRIORITY or HEADERS has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The stream to come after; 0 for none.
    pub parent: u32,
    /// All that depended on it depends on this stream now.
    pub exclusive: bool,
    /// 1 to 256.
    pub weight: u16,
}

impl Default for Dependency {
    fn default() -> Self {
        Self { parent: 0, exclusive: false, weight: 16 }
    }
}

impl Dependency {
    /// Reads the five bytes.
    #[must_use]
    pub(crate) fn parse(bytes: [u8; 5]) -> Self {
        let [a, b, c, d, weight] = bytes;
        let word = u32::from_be_bytes([a, b, c, d]);
        Self { parent: word & 0x7fff_ffff, exclusive: word >> 31 == 1, weight: u16::from(weight) + 1 }
    }
}

/// Where a stream stands: what is nearer to the root goes first, then what has more of its parent's weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TreePosition {
    /// The distance from the root.
    pub rank: u32,
    /// The share of all weight.
    pub share: f32,
}

impl Default for TreePosition {
    fn default() -> Self {
        Self { rank: 1, share: 16.0 / 256.0 }
    }
}

/// So many streams that are over, or that have not begun, are remembered.
const IDLE: usize = 32;

#[derive(Clone, Debug)]
struct Node {
    id: u32,
    parent: u32,
    weight: u16,
    open: bool,
    /// When it was last mentioned, if it is not open.
    used: u64,
    position: TreePosition,
}

/// The tree; empty until the first dependency.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    clock: u64,
}

impl Tree {
    /// The peer has named a dependency.
    #[must_use]
    pub(crate) fn is_used(&self) -> bool {
        self.clock > 0
    }

    /// Where the stream stands.
    #[must_use]
    pub(crate) fn place(&self, id: u32) -> TreePosition {
        self.find(id).map_or_else(TreePosition::default, |node| node.position)
    }

    /// How many bytes of memory it holds.
    #[must_use]
    pub(crate) fn memory(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
    }

    fn find(&self, id: u32) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    fn find_mut(&mut self, id: u32) -> Option<&mut Node> {
        self.nodes.iter_mut().find(|node| node.id == id)
    }

    fn parent(&self, id: u32) -> u32 {
        self.find(id).map_or(0, |node| node.parent)
    }

    /// A stream begins. Without a dependency of its own it keeps what PRIORITY said of it before.
    pub(crate) fn open(&mut self, id: u32, dependency: Option<Dependency>) {
        if !self.is_used() && dependency.is_none() {
            return;
        }
        let known = self.find(id).is_some();
        if dependency.is_some() || !known {
            self.depend(id, dependency.unwrap_or_default());
        }
        if let Some(node) = self.find_mut(id) {
            node.open = true;
        }
    }

    /// A stream is over.
    pub(crate) fn close(&mut self, id: u32) {
        let clock = self.clock;
        if let Some(node) = self.find_mut(id) {
            (node.open, node.used) = (false, clock);
        }
        self.clock += u64::from(self.is_used());
    }

    /// The stream depends on another from now on.
    pub(crate) fn depend(&mut self, id: u32, dependency: Dependency) {
        self.clock += 1;
        let clock = self.clock;
        if self.find(id).is_none() {
            self.make_room(dependency.parent);
            let node = Node { id, parent: 0, weight: dependency.weight, open: false, used: clock, position: TreePosition::default() };
            self.nodes.push(node);
        }
        let parent = if self.find(dependency.parent).is_some() { dependency.parent } else { 0 };
        let exclusive = dependency.exclusive && parent == dependency.parent;
        if self.is_below(parent, id) {
            let above = self.parent(id);
            if let Some(node) = self.find_mut(parent) {
                node.parent = above;
            }
        }
        if exclusive {
            for node in self.nodes.iter_mut().filter(|node| node.parent == parent) {
                node.parent = id;
            }
        }
        for node in &mut self.nodes {
            if node.id == id {
                (node.parent, node.weight, node.used) = (parent, dependency.weight, clock);
            } else if node.id == parent {
                node.used = clock;
            }
        }
        self.measure();
    }

    fn is_below(&self, mut id: u32, above: u32) -> bool {
        let mut steps = self.nodes.len();
        while id != 0 && steps > 0 {
            id = self.parent(id);
            if id == above {
                return true;
            }
            steps -= 1;
        }
        false
    }

    /// Forgets the stream that was not mentioned for longest; its children share its weight (RFC 7540, 5.3.4).
    fn make_room(&mut self, keep: u32) {
        let idle = self.nodes.iter().enumerate().filter(|(_, node)| !node.open);
        if idle.clone().count() < IDLE {
            return;
        }
        let oldest = idle.filter(|(_, node)| node.id != keep).min_by_key(|(_, node)| node.used).map(|(at, _)| at);
        let Some(at) = oldest else { return };
        let old = self.nodes.swap_remove(at);
        let children = self.nodes.iter().filter(|node| node.parent == old.id);
        let sum: u32 = children.map(|node| u32::from(node.weight)).sum();
        for node in self.nodes.iter_mut().filter(|node| node.parent == old.id) {
            node.parent = old.parent;
            node.weight = u16::try_from(u32::from(old.weight) * u32::from(node.weight) / sum.max(1)).unwrap_or(1).max(1);
        }
    }

    /// Ranks and shares anew. There are no circles, but a bound costs nothing.
    fn measure(&mut self) {
        for at in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(at) else { return };
            let mut place = TreePosition { rank: 1, share: f32::from(node.weight) / 256.0 };
            let mut id = node.parent;
            while let Some(above) = self.find(id) {
                place.rank += 1;
                place.share *= f32::from(above.weight) / 256.0;
                id = above.parent;
                if place.rank as usize > self.nodes.len() {
                    break;
                }
            }
            if let Some(node) = self.nodes.get_mut(at) {
                node.position = place;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(parent: u32) -> Dependency {
        Dependency { parent, ..Dependency::default() }
    }

    fn ranks(tree: &Tree, ids: &[u32]) -> Vec<u32> {
        ids.iter().map(|&id| tree.place(id).rank).collect()
    }

    #[test]
    fn nothing_is_kept_until_it_is_used() {
        let mut tree = Tree::default();
        tree.open(1, None);
        assert!(!tree.is_used() && tree.nodes.is_empty());
    }

    #[test]
    fn exclusive_takes_the_children_over() {
        let mut tree = Tree::default();
        for (id, parent) in [(1, 0), (3, 1), (5, 1)] {
            tree.depend(id, on(parent));
        }
        assert_eq!(ranks(&tree, &[1, 3, 5]), [1, 2, 2]);
        tree.depend(7, Dependency { exclusive: true, ..on(1) });
        assert_eq!(ranks(&tree, &[1, 7, 3, 5]), [1, 2, 3, 3]);
    }

    #[test]
    fn a_stream_can_depend_on_its_own_child() {
        // RFC 7540, 5.3.3: the child moves up first.
        let mut tree = Tree::default();
        for (id, parent) in [(1, 0), (3, 1), (5, 3), (7, 5)] {
            tree.depend(id, on(parent));
        }
        tree.depend(3, on(7));
        assert_eq!((tree.parent(7), tree.parent(3), tree.parent(5)), (1, 7, 3));
        tree.depend(1, Dependency { exclusive: true, ..on(5) });
        assert!(tree.nodes.iter().all(|node| !tree.is_below(node.id, node.id)));
    }

    #[test]
    fn memory_is_bounded_and_children_inherit() {
        let mut tree = Tree::default();
        for id in (1..100_000).step_by(2) {
            tree.depend(id, on(id.saturating_sub(2)));
        }
        assert!(tree.nodes.len() <= IDLE, "{}", tree.nodes.len());
        assert!(tree.nodes.iter().all(|node| node.weight >= 1 && node.position.rank <= 33));
    }
}
