//! Clients that sync with a whole server, on both engines.

#![allow(dead_code, reason = "acts that only some of the stories use")]

mod acts;
mod v3;
