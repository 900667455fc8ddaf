//! The client-server API, v1.19: its routes in the order of the spec's list of endpoints.

mod account;
mod admin;
mod admin_register;
mod devices;
mod features;
pub mod interactive_auth;
mod key_backup;
mod keys;
mod login;
mod rate_limits;
mod register;
mod requester;
mod rooms;
mod sliding_sync;
mod sync;
mod to_device;
mod versions;
mod well_known;

use crate::router::Route;

pub use requester::OptionalRequester;

/// Each part of the API lists its own routes; the order here is the spec's.
pub(crate) fn routes() -> Vec<Route> {
    let parts = [
        well_known::routes(),
        versions::routes(),
        login::routes(),
        register::routes(),
        account::routes(),
        devices::routes(),
        admin::routes(),
        admin_register::routes(),
        rooms::routes(),
        sliding_sync::routes(),
        sync::routes(),
        to_device::routes(),
        keys::routes(),
        key_backup::routes(),
    ];
    parts.into_iter().flatten().collect()
}
