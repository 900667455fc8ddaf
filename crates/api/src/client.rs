//! The client-server API, v1.19: its routes in the order of the spec's list of endpoints.

mod account;
mod account_data;
mod admin;
mod admin_register;
mod devices;
mod features;
mod filters;
pub mod interactive_auth;
mod key_backup;
mod keys;
mod login;
mod notifications;
mod openid;
mod presence;
mod profile;
mod push_rules;
mod pushers;
mod rate_limits;
mod receipts;
mod register;
mod requester;
mod rooms;
mod sliding_sync;
mod sync;
mod thirdparty;
mod to_device;
mod turn;
mod typing;
mod user_directory;
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
        filters::routes(),
        receipts::routes(),
        typing::routes(),
        presence::routes(),
        profile::routes(),
        user_directory::routes(),
        account_data::routes(),
        push_rules::routes(),
        pushers::routes(),
        notifications::routes(),
        turn::routes(),
        thirdparty::routes(),
        openid::routes(),
    ];
    parts.into_iter().flatten().collect()
}
