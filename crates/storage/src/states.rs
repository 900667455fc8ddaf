//! Room states as persistent (copy-on-write) vectors from state number to event.
//!
//! A state row is a root, or its parent plus one entry. A tree node has eight slots: events in the leaves, nodes above.
//! Past [`CHAIN_MAX`] chained entries the ancestor [`CHAIN_KEPT`] back gets a root, once, so that forking buys nobody
//! anything. A message costs no state row; a state change one short row, and every 16th a few nodes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{Error, EventKey, Snapshot, StateNo, params};

/// Chained entries that a lookup may have to walk.
pub const CHAIN_MAX: usize = 32;

/// How many entries stay chained when an ancestor gets a root.
pub const CHAIN_KEPT: usize = 16;

/// Slots of a node.
pub const WIDTH: usize = 8;

/// A state as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRow {
    pub id: i64,
    pub parent: Option<i64>,
    pub no: Option<StateNo>,
    /// The entry's event; none removes the key.
    pub event: Option<EventKey>,
    pub root: Option<i64>,
    pub height: i64,
    /// Entries up to the nearest root.
    pub chain: i64,
}

/// A node as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    pub id: i64,
    pub slots: Slots,
}

/// What a node holds; 0 is empty.
pub type Slots = [i64; WIDTH];

impl NodeRow {
    /// Eight LEB128 numbers: most ids need 3 or 4 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(WIDTH * 4);
        for slot in self.slots {
            let mut rest = slot as u64;
            while rest >= 0x80 {
                out.push((rest as u8 & 0x7f) | 0x80);
                rest >>= 7;
            }
            out.push(rest as u8);
        }
        out
    }
}

pub(crate) fn decode(bytes: &[u8]) -> Slots {
    let mut slots = [0; WIDTH];
    let mut bytes = bytes.iter();
    for slot in &mut slots {
        let (mut value, mut shift) = (0u64, 0);
        for byte in bytes.by_ref() {
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 || shift > 63 {
                break;
            }
        }
        *slot = value as i64;
    }
    slots
}

/// A tree: its root node and height; height 1 is a leaf. An empty tree has no node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Root {
    pub node: i64,
    pub height: u32,
}

impl Root {
    /// How many state numbers the tree can hold.
    fn span(self) -> i64 {
        if self.height == 0 {
            0
        } else {
            (WIDTH as i64).pow(self.height)
        }
    }
}

/// A state, by its nearest root and the entries chained on it, oldest first.
#[derive(Debug, Clone, Default)]
pub struct StateHead {
    /// None: the state before the first event, which is empty.
    pub id: Option<i64>,
    pub root: Root,
    pub chain: Vec<(i64, StateNo, Option<EventKey>)>,
}

/// The rows that a new state needs.
#[derive(Debug, Clone, Default)]
pub struct NewState {
    pub states: Vec<StateRow>,
    pub nodes: Vec<NodeRow>,
    pub rooted: Vec<(i64, i64, i64)>,
}

impl StateHead {
    /// Whether the next entry gives an ancestor a root: then [`StateHead::push`] needs the nodes that
    /// [`StateHead::entries_to_root`] touch.
    pub fn is_long(&self) -> bool {
        self.chain.len() >= CHAIN_MAX
    }

    /// The entries that would move from the chain into a tree.
    pub fn entries_to_root(&self) -> BTreeMap<StateNo, Option<EventKey>> {
        let moved = self.chain.len().saturating_sub(CHAIN_KEPT);
        self.chain[..moved]
            .iter()
            .map(|(_, no, event)| (*no, *event))
            .collect()
    }

    /// Adds one entry. `id` is the new state's, `nodes` holds what the tree's touched paths hold, `new_node` gives ids.
    pub fn push(
        &mut self,
        id: i64,
        no: StateNo,
        event: Option<EventKey>,
        nodes: &HashMap<i64, Slots>,
        mut new_node: impl FnMut() -> i64,
    ) -> NewState {
        let mut new = NewState::default();
        if self.is_long() {
            let moved = self.chain.len() - CHAIN_KEPT;
            let entries = self.entries_to_root();
            let rooted = self.chain[moved - 1].0;
            self.root = with_entries(self.root, &entries, nodes, &mut new_node, &mut new.nodes);
            self.chain.drain(..moved);
            new.rooted
                .push((rooted, self.root.node, self.root.height.into()));
        }
        new.states.push(StateRow {
            id,
            parent: self.id,
            no: Some(no),
            event,
            root: None,
            height: 0,
            chain: self.chain.len() as i64 + 1,
        });
        self.chain.push((id, no, event));
        self.id = Some(id);
        new
    }

    /// A state from all of its entries: one root, no parent.
    pub fn whole(
        id: i64,
        entries: &BTreeMap<StateNo, Option<EventKey>>,
        mut new_node: impl FnMut() -> i64,
    ) -> (Self, NewState) {
        let mut new = NewState::default();
        let root = with_entries(
            Root::default(),
            entries,
            &HashMap::new(),
            &mut new_node,
            &mut new.nodes,
        );
        new.states.push(StateRow {
            id,
            parent: None,
            no: None,
            event: None,
            root: Some(root.node),
            height: root.height.into(),
            chain: 0,
        });
        (
            Self {
                id: Some(id),
                root,
                chain: Vec::new(),
            },
            new,
        )
    }
}

/// The tree with these entries set, sharing all nodes that they do not touch.
fn with_entries(
    root: Root,
    entries: &BTreeMap<StateNo, Option<EventKey>>,
    nodes: &HashMap<i64, Slots>,
    new_node: &mut impl FnMut() -> i64,
    written: &mut Vec<NodeRow>,
) -> Root {
    let Some((highest, _)) = entries.last_key_value() else {
        return root;
    };
    let mut root = root;
    if root.height == 0 {
        root.height = 1;
    }
    while root.span() <= highest.0 {
        if root.node != 0 {
            let mut slots = [0; WIDTH];
            slots[0] = root.node;
            let id = new_node();
            written.push(NodeRow { id, slots });
            root.node = id;
        }
        root.height += 1;
    }
    let fresh: HashMap<i64, Slots> = written.iter().map(|node| (node.id, node.slots)).collect();
    let lookup = |id: i64| fresh.get(&id).or_else(|| nodes.get(&id)).copied();
    let entries: Vec<(i64, i64)> = entries
        .iter()
        .map(|(no, event)| (no.0, event.map_or(0, |event| event.0)))
        .collect();
    let node = rewrite(root.node, root.height, &entries, &lookup, new_node, written);
    // Levels that were added only to hold the old root and have been rewritten at once are not kept twice.
    written.retain(|row| row.id == node || !fresh.contains_key(&row.id));
    Root {
        node,
        height: root.height,
    }
}

fn rewrite(
    node: i64,
    height: u32,
    entries: &[(i64, i64)],
    lookup: &impl Fn(i64) -> Option<Slots>,
    new_node: &mut impl FnMut() -> i64,
    written: &mut Vec<NodeRow>,
) -> i64 {
    // Invariant: the caller loaded every node on the entries' paths, so an absent one is an empty one.
    let mut slots = if node == 0 {
        [0; WIDTH]
    } else {
        lookup(node).unwrap_or_else(|| panic!("state node {node} was not loaded"))
    };
    if height == 1 {
        for (no, event) in entries {
            slots[(*no as usize) % WIDTH] = *event;
        }
    } else {
        let span = (WIDTH as i64).pow(height - 1);
        for group in entries.chunk_by(|a, b| a.0 / span == b.0 / span) {
            let slot = (group[0].0 / span) as usize % WIDTH;
            slots[slot] = rewrite(slots[slot], height - 1, group, lookup, new_node, written);
        }
    }
    let id = new_node();
    written.push(NodeRow { id, slots });
    id
}

/// A state's nearest root and chain.
pub fn load_state(snap: &mut Snapshot<'_>, id: i64) -> Result<StateHead, Error> {
    let rows = snap.query(
        "WITH RECURSIVE chain (id, parent, state_no, event, root, height, n) AS (
             SELECT id, parent, state_no, event, root, height, 0 FROM states WHERE id = $1
             UNION ALL
             SELECT s.id, s.parent, s.state_no, s.event, s.root, s.height, c.n + 1
             FROM chain c JOIN states s ON s.id = c.parent WHERE c.root IS NULL
         )
         SELECT id, state_no, event, root, height FROM chain ORDER BY n DESC",
        params![id],
    )?;
    let mut head = StateHead {
        id: Some(id),
        ..StateHead::default()
    };
    for row in &rows {
        match (row.opt_int(3), row.opt_int(1)) {
            (Some(node), _) => {
                head.root = Root {
                    node,
                    height: row.int(4) as u32,
                }
            }
            (None, Some(no)) => {
                head.chain
                    .push((row.int(0), StateNo(no), row.opt_int(2).map(EventKey)))
            }
            (None, None) => {}
        }
    }
    Ok(head)
}

/// Loads the nodes on the paths to these numbers, or all nodes where `numbers` is none.
pub fn load_nodes(
    snap: &mut Snapshot<'_>,
    root: Root,
    numbers: Option<&[StateNo]>,
) -> Result<HashMap<i64, Slots>, Error> {
    load_nodes_beyond(snap, root, numbers, &HashMap::new())
}

/// Like [`load_nodes`], for a caller that holds some nodes already, which may not be written yet.
pub fn load_nodes_beyond(
    snap: &mut Snapshot<'_>,
    root: Root,
    numbers: Option<&[StateNo]>,
    held: &HashMap<i64, Slots>,
) -> Result<HashMap<i64, Slots>, Error> {
    let mut loaded = HashMap::new();
    if root.node == 0 {
        return Ok(loaded);
    }
    let mut sorted = numbers.map(<[StateNo]>::to_vec);
    if let Some(numbers) = &mut sorted {
        numbers.sort_unstable();
    }
    // The wanted nodes of one level, each with the first number that it covers.
    let mut level = vec![(root.node, 0)];
    for height in (1..=root.height).rev() {
        let ids: Vec<i64> = level
            .iter()
            .map(|(id, _)| *id)
            .filter(|id| !held.contains_key(id))
            .collect();
        if !ids.is_empty() {
            for row in snap.query(
                "SELECT id, slots FROM state_nodes WHERE id IN ($1[])",
                params![ids],
            )? {
                loaded.insert(row.int(0), decode(&row.bytes(1)));
            }
        }
        let span = (WIDTH as i64).pow(height - 1);
        let mut below = Vec::new();
        for (id, first) in level {
            let Some(slots) = held.get(&id).or_else(|| loaded.get(&id)) else {
                continue;
            };
            for (slot, child) in slots
                .iter()
                .enumerate()
                .filter(|(_, child)| height > 1 && **child != 0)
            {
                let start = first + slot as i64 * span;
                if sorted
                    .as_ref()
                    .is_none_or(|numbers| any_within(numbers, start, start + span))
                {
                    below.push((*child, start));
                }
            }
        }
        level = below;
        if level.is_empty() {
            break;
        }
    }
    Ok(loaded)
}

/// Whether a sorted list has a number in [from, to).
fn any_within(numbers: &[StateNo], from: i64, to: i64) -> bool {
    let at = numbers.partition_point(|no| no.0 < from);
    numbers.get(at).is_some_and(|no| no.0 < to)
}

fn collect(
    node: i64,
    height: u32,
    first: i64,
    nodes: &HashMap<i64, Slots>,
    out: &mut BTreeMap<StateNo, EventKey>,
) {
    let Some(slots) = nodes.get(&node) else {
        return;
    };
    let span = (WIDTH as i64).pow(height - 1);
    for (slot, value) in slots.iter().enumerate().filter(|(_, value)| **value != 0) {
        let start = first + slot as i64 * span;
        if height == 1 {
            out.insert(StateNo(start), EventKey(*value));
        } else {
            collect(*value, height - 1, start, nodes, out);
        }
    }
}

/// All entries of a state.
pub fn entries(snap: &mut Snapshot<'_>, id: i64) -> Result<BTreeMap<StateNo, EventKey>, Error> {
    let head = load_state(snap, id)?;
    let nodes = load_nodes(snap, head.root, None)?;
    let mut out = BTreeMap::new();
    collect(head.root.node, head.root.height, 0, &nodes, &mut out);
    apply_chain(&head, &mut out, |_| true);
    Ok(out)
}

/// The entries of a state at these numbers; those it lacks are left out.
pub fn entries_at(
    snap: &mut Snapshot<'_>,
    id: i64,
    numbers: &[StateNo],
) -> Result<BTreeMap<StateNo, EventKey>, Error> {
    let head = load_state(snap, id)?;
    let nodes = load_nodes(snap, head.root, Some(numbers))?;
    let mut out = BTreeMap::new();
    collect(head.root.node, head.root.height, 0, &nodes, &mut out);
    let wanted: BTreeSet<StateNo> = numbers.iter().copied().collect();
    out.retain(|no, _| wanted.contains(no));
    apply_chain(&head, &mut out, |no| wanted.contains(&no));
    Ok(out)
}

fn apply_chain(
    head: &StateHead,
    out: &mut BTreeMap<StateNo, EventKey>,
    wanted: impl Fn(StateNo) -> bool,
) {
    for (_, no, event) in head.chain.iter().filter(|(_, no, _)| wanted(*no)) {
        match event {
            Some(event) => out.insert(*no, *event),
            None => out.remove(no),
        };
    }
}

/// Where two states differ: (number, event in `a`, event in `b`). Equal nodes are skipped without being read.
#[expect(clippy::type_complexity, reason = "a triple, named in the line above")]
pub fn difference(
    snap: &mut Snapshot<'_>,
    a: i64,
    b: i64,
) -> Result<Vec<(StateNo, Option<EventKey>, Option<EventKey>)>, Error> {
    if a == b {
        return Ok(Vec::new());
    }
    let (head_a, head_b) = (load_state(snap, a)?, load_state(snap, b)?);
    let mut touched: BTreeMap<StateNo, ()> = head_a
        .chain
        .iter()
        .chain(&head_b.chain)
        .map(|(_, no, _)| (*no, ()))
        .collect();
    differing(snap, head_a.root, head_b.root, 0, &mut touched)?;
    let numbers: Vec<StateNo> = touched.into_keys().collect();
    let (in_a, in_b) = (
        entries_at(snap, a, &numbers)?,
        entries_at(snap, b, &numbers)?,
    );
    Ok(numbers
        .into_iter()
        .map(|no| (no, in_a.get(&no).copied(), in_b.get(&no).copied()))
        .filter(|(_, in_a, in_b)| in_a != in_b)
        .collect())
}

fn differing(
    snap: &mut Snapshot<'_>,
    a: Root,
    b: Root,
    first: i64,
    touched: &mut BTreeMap<StateNo, ()>,
) -> Result<(), Error> {
    if a.node == b.node {
        return Ok(());
    }
    if a.height != b.height {
        let (tall, short) = if a.height > b.height { (a, b) } else { (b, a) };
        if short.node == 0 {
            // An empty tree is empty at any height.
            return differing(
                snap,
                tall,
                Root {
                    node: 0,
                    height: tall.height,
                },
                first,
                touched,
            );
        }
        // The taller tree's first slot covers what the shorter one does; its other slots are all its own.
        let (tall, short) = if a.height > b.height { (a, b) } else { (b, a) };
        let slots = node(snap, tall.node)?;
        let span = (WIDTH as i64).pow(tall.height - 1);
        let below = |node: i64| Root {
            node,
            height: tall.height - 1,
        };
        differing(snap, below(slots[0]), short, first, touched)?;
        for (slot, child) in slots
            .iter()
            .enumerate()
            .skip(1)
            .filter(|(_, child)| **child != 0)
        {
            differing(
                snap,
                below(*child),
                Root {
                    node: 0,
                    height: tall.height - 1,
                },
                first + slot as i64 * span,
                touched,
            )?;
        }
        return Ok(());
    }
    let (slots_a, slots_b) = (node(snap, a.node)?, node(snap, b.node)?);
    let height = a.height;
    let span = (WIDTH as i64).pow(height.saturating_sub(1));
    for slot in 0..WIDTH {
        let start = first + slot as i64 * span;
        if slots_a[slot] == slots_b[slot] {
            continue;
        }
        if height <= 1 {
            touched.insert(StateNo(start), ());
        } else {
            let below = |node| Root {
                node,
                height: height - 1,
            };
            differing(
                snap,
                below(slots_a[slot]),
                below(slots_b[slot]),
                start,
                touched,
            )?;
        }
    }
    Ok(())
}

fn node(snap: &mut Snapshot<'_>, id: i64) -> Result<Slots, Error> {
    if id == 0 {
        return Ok([0; WIDTH]);
    }
    let row = snap.query_one("SELECT slots FROM state_nodes WHERE id = $1", params![id])?;
    Ok(row.map_or([0; WIDTH], |row| decode(&row.bytes(0))))
}
