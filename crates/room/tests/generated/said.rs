//! What is said in generated rooms: events at random, of the kinds that the rules know.

use room::pdu::Pdu;
use room::resolve::State;
use room::sign::{ServerKey, sign_json};
use serde_json::{Value, json};

use super::{Maker, USERS};

/// What an event says, before it has a place.
pub(super) struct Said {
    pub(super) sender: String,
    pub(super) event_type: &'static str,
    pub(super) state_key: Option<String>,
    pub(super) content: Value,
    pub(super) redacts: Option<String>,
    /// JSON to stand where the content has [`ODD`].
    pub(super) odd: Option<String>,
}

/// A string in a content that stands for JSON that the tree of values here can't hold.
pub(super) const ODD: &str = "@odd@";

pub(super) fn state(
    sender: &str,
    event_type: &'static str,
    state_key: &str,
    content: Value,
) -> Said {
    Said {
        sender: sender.to_owned(),
        event_type,
        state_key: Some(state_key.to_owned()),
        content,
        redacts: None,
        odd: None,
    }
}

pub(super) fn member(sender: &str, target: &str, membership: &str) -> Said {
    state(
        sender,
        "m.room.member",
        target,
        json!({ "membership": membership }),
    )
}

impl Maker {
    pub(super) fn choose_said(&mut self, now: &State<usize>) -> Said {
        let sender = *self.random.pick(&USERS);
        let target = *self.random.pick(&USERS);
        match self.random.below(100) {
            0..16 => member(sender, sender, "join"),
            16..20 => member(sender, sender, "leave"),
            20..26 => member(sender, target, "invite"),
            26..31 => member(sender, target, "leave"),
            31..37 => member(sender, target, "ban"),
            37..41 => member(
                sender,
                target,
                self.random.word(&["join", "knock", "wat", "ban"]),
            ),
            41..44 => member(sender, sender, "knock"),
            44..49 => self.restricted_join(sender, target),
            49..66 => self.change_levels(sender, now),
            66..72 => {
                let rules = [
                    "public",
                    "invite",
                    "knock",
                    "restricted",
                    "knock_restricted",
                    "private",
                ];
                let rule = self.random.word(&rules);
                state(
                    sender,
                    "m.room.join_rules",
                    "",
                    json!({ "join_rule": rule }),
                )
            }
            72..76 => self.third_party_invite(sender),
            76..81 => self.accept_third_party_invite(sender, target, now),
            81..88 => state(
                sender,
                self.random.word(&["m.room.name", "m.room.topic"]),
                "",
                json!({ "name": self.now }),
            ),
            88..90 => state(sender, "org.example.own", target, json!({})),
            90..92 => {
                let server = target.split_once(':').map_or("", |(_, server)| server);
                state(sender, "m.room.aliases", server, json!({ "aliases": [] }))
            }
            92..95 => self.redaction(sender),
            _ => self.message(sender),
        }
    }

    fn message(&mut self, sender: &str) -> Said {
        let odd = self.odd_json(3);
        Said {
            sender: sender.to_owned(),
            event_type: "m.room.message",
            state_key: None,
            content: json!({ "body": self.now, "odd": ODD }),
            redacts: None,
            odd: Some(odd),
        }
    }

    /// JSON that is written in more than one way, or rarely.
    fn odd_json(&mut self, depth: usize) -> String {
        let strict = self.room.rules.strict_json;
        match self.random.below(if depth == 0 { 4 } else { 6 }) {
            0 => {
                let strings = [
                    r#""\u0000\u001f\u007f""#,
                    r#""\ud83d\ude00 😀""#,
                    r#""\/\\\"""#,
                    r#""\b\f\n\r\t""#,
                    r#""é\u00e9\u2028""#,
                ];
                self.random.word(&strings).to_owned()
            }
            1 => self
                .random
                .word(&["null", "true", "false", "[]", "{}", " [ 1 , 2 ] "])
                .to_owned(),
            2 => self
                .random
                .word(&["0", "-1", "9007199254740991", "-9007199254740991"])
                .to_owned(),
            3 if strict => "1".to_owned(),
            3 => self.odd_number(),
            4 => format!(
                "[{},{}]",
                self.odd_json(depth - 1),
                self.odd_json(depth - 1)
            ),
            _ => {
                let (one, other) = (self.odd_json(depth - 1), self.odd_json(depth - 1));
                format!(r#"{{"😀":{one},"ﬁ":{other},"b\u0061":1,"":2}}"#)
            }
        }
    }

    fn odd_number(&mut self) -> String {
        match self.random.below(4) {
            0 => self
                .random
                .word(&[
                    "-0",
                    "-0.0",
                    "0e0",
                    "1E5",
                    "123456789012345678901234567890",
                    "1e-7",
                    "0.1",
                    "5e-324",
                ])
                .to_owned(),
            1 => format!(
                "{}.{}",
                self.random.below(1_000_000),
                self.random.below(1_000_000)
            ),
            _ => {
                let number = f64::from_bits(self.random.next());
                if number.is_finite() {
                    format!("{number:e}")
                } else {
                    "1.5".to_owned()
                }
            }
        }
    }

    fn restricted_join(&mut self, sender: &str, voucher: &str) -> Said {
        let content = json!({ "membership": "join", "join_authorised_via_users_server": voucher });
        state(sender, "m.room.member", sender, content)
    }

    /// The current power levels with one to three changes.
    fn change_levels(&mut self, sender: &str, now: &State<usize>) -> Said {
        let current = self.room.in_state(now, "m.room.power_levels", "");
        let mut content: Value = current
            .and_then(|pdu| serde_json::from_str(pdu.content()).ok())
            .unwrap_or_else(|| json!({}));
        for _ in 0..=self.random.below(3) {
            let level = self.level();
            let user = *self.random.pick(&USERS);
            match self.random.below(10) {
                0..5 => content["users"][user] = level,
                5 => {
                    if let Some(users) = content["users"].as_object_mut() {
                        users.remove(user);
                    }
                }
                6 => {
                    content["events"][self.random.word(&["m.room.name", "m.room.message", "x"])] =
                        level
                }
                7 => content["notifications"]["room"] = level,
                8 => {
                    let named = [
                        "users_default",
                        "events_default",
                        "state_default",
                        "ban",
                        "redact",
                        "kick",
                        "invite",
                    ];
                    content[self.random.word(&named)] = level;
                }
                _ => {
                    if let Some(content) = content.as_object_mut() {
                        content.remove(*self.random.pick(&[
                            "kick",
                            "ban",
                            "invite",
                            "users_default",
                        ]));
                    }
                }
            }
        }
        for map in ["users", "events", "notifications"] {
            if content[map].is_null()
                && let Some(content) = content.as_object_mut()
            {
                content.remove(map);
            }
        }
        state(sender, "m.room.power_levels", "", content)
    }

    fn third_party_invite(&mut self, sender: &str) -> Said {
        let key = identity_key().public().to_base64();
        let token = format!("token{}", self.random.below(3));
        let content = match self.random.chance(50) {
            true => {
                json!({ "public_key": key, "display_name": "x", "key_validity_url": "https://i.example" })
            }
            false => {
                json!({ "public_key": ServerKey::from_seed("x.example".try_into().unwrap(), "0", &[7; 32]).public().to_base64(),
                             "public_keys": [{ "public_key": key }], "display_name": "x", "key_validity_url": "https://i.example" })
            }
        };
        state(sender, "m.room.third_party_invite", &token, content)
    }

    fn accept_third_party_invite(
        &mut self,
        sender: &str,
        target: &str,
        now: &State<usize>,
    ) -> Said {
        let made: Vec<&Pdu> = now
            .iter()
            .filter(|((event_type, _), _)| &**event_type == "m.room.third_party_invite")
            .map(|(_, id)| &self.room.events[*id].pdu)
            .collect();
        let mut made: Vec<(String, String)> = made
            .iter()
            .map(|pdu| {
                (
                    pdu.sender().to_string(),
                    pdu.state_key().unwrap_or_default().to_owned(),
                )
            })
            .collect();
        made.sort();
        let (maker, token) = match made.is_empty() {
            true => (sender.to_owned(), "token0".to_owned()),
            false => self.random.pick(&made).clone(),
        };
        let mxid = if self.random.chance(85) {
            target
        } else {
            USERS[0]
        };
        let signed = json!({ "mxid": mxid, "token": token });
        let signed = match self.random.chance(85) {
            true => sign_json(&signed.to_string(), &identity_key()).unwrap(),
            false => json!({ "mxid": mxid, "token": token, "signatures": {} }).to_string(),
        };
        let signed: Value = serde_json::from_str(&signed).unwrap();
        let invite = match self.random.below(20) {
            0 => json!({ "display_name": "x" }),
            1 => json!("x"),
            _ => json!({ "display_name": "x", "signed": signed }),
        };
        let content = json!({ "membership": "invite", "third_party_invite": invite });
        let sender = if self.random.chance(80) {
            maker
        } else {
            sender.to_owned()
        };
        state(&sender, "m.room.member", target, content)
    }

    fn redaction(&mut self, sender: &str) -> Said {
        let target = self.random.below(self.room.events.len());
        let target = self.room.events[target].pdu.event_id().to_string();
        let inside = self.room.rules.redaction.redacts_in_content;
        Said {
            sender: sender.to_owned(),
            event_type: "m.room.redaction",
            state_key: None,
            content: if inside {
                json!({ "redacts": target })
            } else {
                json!({})
            },
            redacts: (!inside).then_some(target),
            odd: None,
        }
    }
}

/// The key of an identity server.
fn identity_key() -> ServerKey {
    ServerKey::from_seed("i.example".try_into().unwrap(), "0", &[9; 32])
}
