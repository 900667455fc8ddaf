//! Which members of a room an event is evaluated for one by one: those with rules of their own, and those it names.
//!
//! Held in memory: everybody's own rules, each distinct ruleset once, and per room which members have such. Both follow
//! the positions at which rules and memberships changed, so an event in a room where nothing changed reads no member.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use room::push::{Rules, Ruleset};
use storage::rooms::Membership;
use storage::{Position, RoomKey, Snapshot, UserKey, ids, params, push_rules};

use crate::Homeserver;

/// Rooms whose members with rules of their own are held; beyond it all are looked up again.
const ROOMS_MAX: usize = 2_000;

/// Members held over all rooms, some 40 bytes each; beyond it all are looked up again.
const MEMBERS_MAX: usize = 500_000;

/// A local user whom an event is evaluated for.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub user: UserKey,
    pub user_id: String,
    pub displayname: Option<String>,
    pub rules: Arc<Rules>,
    /// Whether the event names the user, so that its rules may say something else than for others.
    pub named: bool,
    /// Whether the rules ask for the display name.
    pub rules_ask_for_name: bool,
}

/// For whom an event is evaluated.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub room: RoomKey,
    /// The ids of local users whom the event names.
    pub named: Vec<String>,
    /// The one who is invited by it, and need not be a member.
    pub invited: Option<String>,
    /// Whether it is evaluated for all local members.
    pub everybody: bool,
}

/// See the module.
pub struct Audiences {
    defaults: Arc<Rules>,
    // Held while what changed is read and taken in: short index lookups. Never across an await.
    held: Arc<Mutex<Held>>,
}

impl Default for Audiences {
    fn default() -> Self {
        Self {
            defaults: Arc::new(Rules::server_default()),
            held: Arc::default(),
        }
    }
}

#[derive(Default)]
struct Held {
    /// Rules are known as of here.
    up_to: Position,
    rules: HashMap<UserKey, (Position, Arc<Rules>)>,
    /// Each ruleset once; those that nobody has any more go when another is added.
    distinct: HashSet<Arc<Rules>>,
    rooms: HashMap<RoomKey, RoomMembers>,
    /// Members in `rooms`, in sum.
    members: usize,
}

/// The members of a room that have rules of their own.
#[derive(Default)]
struct RoomMembers {
    /// Memberships and rules are as of here.
    as_of: Position,
    members: HashSet<UserKey>,
}

impl Audiences {
    /// The server's default rules.
    pub(super) fn defaults(&self) -> &Rules {
        &self.defaults
    }

    /// Everybody whom the event is evaluated for.
    pub(super) async fn of_room(
        &self,
        hs: &Homeserver,
        asked: Asked,
    ) -> Result<Vec<Member>, storage::Error> {
        let (held, defaults) = (self.held.clone(), self.defaults.clone());
        let server = format!(":{}", hs.server_name);
        hs.db
            .read(move |snap| {
                let mut users = named_users(snap, &asked)?;
                let mut held = held
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                held.learn_rules(snap)?;
                let mut keys: HashSet<UserKey> = users.keys().copied().collect();
                keys.extend(held.members_of(snap, asked.room)?);
                let rows = match asked.everybody {
                    true => everybody(snap, asked.room)?,
                    false => of_keys(snap, asked.room, &keys)?,
                };
                let mut members = Vec::with_capacity(rows.len());
                for (user, user_id, displayname) in rows {
                    if !user_id.ends_with(&server) {
                        continue;
                    }
                    let named = users.remove(&user).is_some();
                    members.push(held.member(&defaults, user, user_id, displayname, named));
                }
                let invited = users
                    .into_iter()
                    .filter(|(_, user_id)| asked.invited.as_ref() == Some(user_id));
                for (user, user_id) in invited {
                    members.push(held.member(&defaults, user, user_id, None, true));
                }
                Ok(members)
            })
            .await
    }
}

impl Held {
    fn member(
        &self,
        defaults: &Arc<Rules>,
        user: UserKey,
        user_id: String,
        displayname: Option<String>,
        named: bool,
    ) -> Member {
        let rules = self
            .rules
            .get(&user)
            .map_or(defaults, |(_, rules)| rules)
            .clone();
        Member {
            user,
            user_id,
            displayname,
            named,
            rules_ask_for_name: rules.ask_for_displayname(),
            rules,
        }
    }

    /// Takes in the rules that changed since the last look.
    fn learn_rules(&mut self, snap: &mut Snapshot<'_>) -> Result<(), storage::Error> {
        let changed = push_rules::changed(snap, self.up_to)?;
        for (position, user, content) in changed {
            // The defaults of today count; whose they are is left out of `Rules`, so any id does.
            let rules = Arc::new(Rules::of(&Ruleset::load("", Some(&content))));
            self.distinct.retain(|rules| Arc::strong_count(rules) > 1);
            let rules = match self.distinct.get(&rules) {
                Some(known) => known.clone(),
                None => {
                    self.distinct.insert(rules.clone());
                    rules
                }
            };
            self.rules.insert(user, (position, rules));
            self.up_to = self.up_to.max(position);
        }
        Ok(())
    }

    /// The members of a room that have rules of their own.
    fn members_of(
        &mut self,
        snap: &mut Snapshot<'_>,
        room: RoomKey,
    ) -> Result<Vec<UserKey>, storage::Error> {
        if self.rules.is_empty() {
            return Ok(Vec::new());
        }
        let head = snap.head()?;
        if let Some(known) = self.rooms.get(&room) {
            let since = known.as_of;
            let mut changed: HashSet<UserKey> = members_changed(snap, room, since)?;
            if self.up_to > since {
                let newer = self.rules.iter().filter(|(_, (at, _))| *at > since);
                changed.extend(newer.map(|(user, _)| *user));
            }
            let joined: HashSet<UserKey> = of_keys(snap, room, &changed)?
                .into_iter()
                .map(|(user, _, _)| user)
                .collect();
            if let Some(known) = self.rooms.get_mut(&room) {
                let before = known.members.len();
                for user in changed {
                    if joined.contains(&user) && self.rules.contains_key(&user) {
                        known.members.insert(user);
                    } else {
                        known.members.remove(&user);
                    }
                }
                known.as_of = known.as_of.max(head);
                self.members = self.members + known.members.len() - before;
                return Ok(known.members.iter().copied().collect());
            }
        }
        let rows = snap.query(
            "SELECT m.user_key FROM members m JOIN push_rules p ON p.user_key = m.user_key
             WHERE m.room = $1 AND m.membership = $2",
            params![room, Membership::Join],
        )?;
        let members: HashSet<UserKey> = rows.iter().map(|row| UserKey(row.int(0))).collect();
        if self.rooms.len() >= ROOMS_MAX || self.members > MEMBERS_MAX {
            self.rooms.clear();
            self.members = 0;
        }
        self.members += members.len();
        let found = members.iter().copied().collect();
        self.rooms.insert(
            room,
            RoomMembers {
                as_of: head,
                members,
            },
        );
        Ok(found)
    }
}

/// The local users whom an event names, as far as this server knows them.
fn named_users(
    snap: &mut Snapshot<'_>,
    asked: &Asked,
) -> Result<HashMap<UserKey, String>, storage::Error> {
    if asked.named.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = snap.query(
        "SELECT id, user_id FROM users WHERE user_id IN ($1[])",
        params![asked.named.clone()],
    )?;
    Ok(rows
        .iter()
        .map(|row| (UserKey(row.int(0)), row.text(1)))
        .collect())
}

/// Users whose membership of a room changed after a position.
fn members_changed(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    after: Position,
) -> Result<HashSet<UserKey>, storage::Error> {
    let rows = snap.query(
        "SELECT k.state_key FROM state_log l JOIN state_keys k ON k.room = l.room AND k.state_no = l.state_no
         WHERE l.room = $1 AND l.position > $2 AND k.type = $3",
        params![room, after, b"m.room.member".as_slice()],
    )?;
    let mut users = HashSet::new();
    for row in rows {
        // A membership changes rarely; each is one lookup in an index.
        if let Ok(user_id) = String::from_utf8(row.bytes(0)) {
            users.extend(ids::find_user(snap, &user_id)?);
        }
    }
    Ok(users)
}

type MemberName = (UserKey, String, Option<String>);

fn read_names(rows: &[storage::Row]) -> Vec<MemberName> {
    let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    rows.iter()
        .map(|row| {
            (
                UserKey(row.int(0)),
                row.text(1),
                row.opt_bytes(2).map(lossy),
            )
        })
        .collect()
}

/// Those of these users who are joined to a room.
fn of_keys(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    users: &HashSet<UserKey>,
) -> Result<Vec<MemberName>, storage::Error> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let users: Vec<i64> = users.iter().map(|user| user.0).collect();
    let rows = snap.query(
        "SELECT m.user_key, u.user_id, m.displayname FROM members m JOIN users u ON u.id = m.user_key
         WHERE m.room = $1 AND m.membership = $2 AND m.user_key IN ($3[])",
        params![room, Membership::Join, users],
    )?;
    Ok(read_names(&rows))
}

/// All who are joined to a room.
fn everybody(snap: &mut Snapshot<'_>, room: RoomKey) -> Result<Vec<MemberName>, storage::Error> {
    let rows = snap.query(
        "SELECT m.user_key, u.user_id, m.displayname FROM members m JOIN users u ON u.id = m.user_key
         WHERE m.room = $1 AND m.membership = $2",
        params![room, Membership::Join],
    )?;
    Ok(read_names(&rows))
}
