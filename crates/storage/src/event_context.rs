//! What surrounds events: the states before them, and the client transactions that sent them. Asked for by set, as a
//! page of a timeline needs it.

use std::collections::{HashMap, HashSet};

use crate::states::{Slots, WIDTH, decode};
use crate::{DeviceKey, Error, EventKey, RoomKey, Snapshot, StateNo, UserKey, params};

/// The entries of states at numbers: for each (state, number) pair its event; pairs without one are left out.
///
/// All pairs together take one query for the chains and one per level of the trees, however many they are.
pub fn entries(
    snap: &mut Snapshot<'_>,
    wanted: &[(i64, StateNo)],
) -> Result<HashMap<(i64, StateNo), EventKey>, Error> {
    let mut found = HashMap::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    let chains = load_chains(snap, wanted)?;
    let mut searches = Vec::new();
    for pair in wanted.iter().collect::<HashSet<_>>() {
        match chains.find(*pair) {
            Found::Entry(Some(event)) => {
                found.insert(*pair, event);
            }
            Found::Entry(None) => {}
            Found::Tree { node, height } => searches.push(Search {
                pair: *pair,
                node,
                height,
            }),
        }
    }
    search_trees(snap, searches, &mut found)?;
    Ok(found)
}

/// One row of `states`.
struct Link {
    parent: Option<i64>,
    no: Option<StateNo>,
    event: Option<EventKey>,
    root: Option<(i64, u32)>,
}

struct Chains(HashMap<i64, Link>);

enum Found {
    /// The chain says it: an event, or none.
    Entry(Option<EventKey>),
    /// The tree below the chain says it.
    Tree { node: i64, height: u32 },
}

impl Chains {
    fn find(&self, (state, no): (i64, StateNo)) -> Found {
        let mut state = Some(state);
        // Invariant: a state's parent is older than itself, so the walk ends.
        while let Some(link) = state.and_then(|id| self.0.get(&id)) {
            match link.root {
                Some((node, height)) => return Found::Tree { node, height },
                None if link.no == Some(no) => return Found::Entry(link.event),
                None => state = link.parent,
            }
        }
        Found::Entry(None)
    }
}

fn load_chains(snap: &mut Snapshot<'_>, wanted: &[(i64, StateNo)]) -> Result<Chains, Error> {
    let ids: HashSet<i64> = wanted.iter().map(|(state, _)| *state).collect();
    let ids: Vec<i64> = ids.into_iter().collect();
    let rows = snap.query(
        "WITH RECURSIVE chain (id) AS (
             SELECT id FROM states WHERE id IN ($1[])
             UNION
             SELECT s.parent FROM chain c JOIN states s ON s.id = c.id WHERE s.root IS NULL AND s.parent IS NOT NULL
         )
         SELECT s.id, s.parent, s.state_no, s.event, s.root, s.height FROM chain c JOIN states s ON s.id = c.id",
        params![ids],
    )?;
    let links = rows.iter().map(|row| {
        let link = Link {
            parent: row.opt_int(1),
            no: row.opt_int(2).map(StateNo),
            event: row.opt_int(3).map(EventKey),
            root: row.opt_int(4).map(|node| (node, row.int(5) as u32)),
        };
        (row.int(0), link)
    });
    Ok(Chains(links.collect()))
}

/// A walk down a tree for one pair.
struct Search {
    pair: (i64, StateNo),
    node: i64,
    height: u32,
}

fn search_trees(
    snap: &mut Snapshot<'_>,
    mut searches: Vec<Search>,
    found: &mut HashMap<(i64, StateNo), EventKey>,
) -> Result<(), Error> {
    let mut nodes: HashMap<i64, Slots> = HashMap::new();
    searches.retain(|search| search.height > 0 && search.pair.1.0 < span(search.height));
    while !searches.is_empty() {
        let missing: HashSet<i64> = searches
            .iter()
            .map(|search| search.node)
            .filter(|node| *node != 0 && !nodes.contains_key(node))
            .collect();
        if !missing.is_empty() {
            let missing: Vec<i64> = missing.into_iter().collect();
            for row in snap.query(
                "SELECT id, slots FROM state_nodes WHERE id IN ($1[])",
                params![missing],
            )? {
                nodes.insert(row.int(0), decode(&row.bytes(1)));
            }
        }
        searches.retain_mut(|search| {
            let Some(slots) = nodes.get(&search.node) else {
                return false;
            };
            let slot = (search.pair.1.0 / span(search.height - 1)) as usize % WIDTH;
            search.height -= 1;
            search.node = slots[slot];
            if search.height == 0 && search.node != 0 {
                found.insert(search.pair, EventKey(search.node));
            }
            search.height > 0
        });
    }
    Ok(())
}

/// How many numbers a tree of this height holds.
fn span(height: u32) -> i64 {
    (WIDTH as i64).pow(height)
}

/// The numbers of some (type, state_key) pairs in rooms: for each room and each pair that was ever used there.
pub fn state_numbers(
    snap: &mut Snapshot<'_>,
    rooms: &[RoomKey],
    event_type: &str,
    state_key: &str,
) -> Result<HashMap<RoomKey, StateNo>, Error> {
    let rooms: Vec<i64> = rooms.iter().map(|room| room.0).collect();
    let rows = snap.query(
        "SELECT room, state_no FROM state_keys WHERE room IN ($1[]) AND type = $2 AND state_key = $3",
        params![rooms, event_type.as_bytes(), state_key.as_bytes()],
    )?;
    Ok(rows
        .iter()
        .map(|row| (RoomKey(row.int(0)), StateNo(row.int(1))))
        .collect())
}

/// The (type, state_key) of numbers of a room.
pub fn state_names(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    numbers: &[StateNo],
) -> Result<HashMap<StateNo, (String, String)>, Error> {
    let numbers: Vec<i64> = numbers.iter().map(|no| no.0).collect();
    let rows = snap.query(
        "SELECT state_no, type, state_key FROM state_keys WHERE room = $1 AND state_no IN ($2[])",
        params![room, numbers],
    )?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(rows
        .iter()
        .map(|row| {
            (
                StateNo(row.int(0)),
                (text(row.bytes(1)), text(row.bytes(2))),
            )
        })
        .collect())
}

/// The transaction ids with which a device sent events.
pub fn transaction_ids(
    snap: &mut Snapshot<'_>,
    device: DeviceKey,
    events: &[EventKey],
) -> Result<HashMap<EventKey, String>, Error> {
    let events: Vec<i64> = events.iter().map(|event| event.0).collect();
    let rows = snap.query(
        "SELECT event, transaction_id FROM client_transactions WHERE event IN ($1[]) AND device = $2",
        params![events, device],
    )?;
    Ok(rows
        .iter()
        .map(|row| {
            (
                EventKey(row.int(0)),
                String::from_utf8_lossy(&row.bytes(1)).into_owned(),
            )
        })
        .collect())
}

/// The numbers of these users' memberships in a room; users that never had one there are left out.
pub fn member_numbers(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    user_ids: &[&str],
) -> Result<HashMap<String, StateNo>, Error> {
    let keys: Vec<Vec<u8>> = user_ids.iter().map(|id| id.as_bytes().to_vec()).collect();
    let rows = snap.query(
        "SELECT state_key, state_no FROM state_keys WHERE room = $1 AND type = $2 AND state_key IN ($3[])",
        params![room, b"m.room.member".as_slice(), keys],
    )?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(rows
        .iter()
        .map(|row| (text(row.bytes(0)), StateNo(row.int(1))))
        .collect())
}

/// The numbers of all memberships that a room ever had.
pub fn all_member_numbers(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
) -> Result<HashSet<StateNo>, Error> {
    let rows = snap.query(
        "SELECT state_no FROM state_keys WHERE room = $1 AND type = $2",
        params![room, b"m.room.member".as_slice()],
    )?;
    Ok(rows.iter().map(|row| StateNo(row.int(0))).collect())
}

/// The keys of these user ids, in no order; those that this server never heard of are left out.
pub fn known_users(snap: &mut Snapshot<'_>, user_ids: Vec<String>) -> Result<Vec<UserKey>, Error> {
    if user_ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = snap.query(
        "SELECT id FROM users WHERE user_id IN ($1[])",
        params![user_ids],
    )?;
    Ok(rows.iter().map(|row| UserKey(row.int(0))).collect())
}
