//! How clients, servers and people find this server: client-server API v1.19, "Well-known URIs"; server-server API v1.19,
//! "Server discovery".

use axum::extract::State as Shared;
use http::Method;
use serde_json::{Value, json};

use crate::router::{Route, route};
use crate::{ApiError, Json, State};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(Method::GET, "/.well-known/matrix/client", client),
        route(Method::GET, "/.well-known/matrix/server", server),
        route(Method::GET, "/.well-known/matrix/support", support),
    ]
}

async fn client(state: Shared<State>) -> Json<Value> {
    Json(json!({ "m.homeserver": { "base_url": state.hs.settings.public_url } }))
}

/// Other servers reach this one where clients do, and by TLS alone.
async fn server(state: Shared<State>) -> Result<Json<Value>, ApiError> {
    let address = server_address(&state.hs.settings.public_url).ok_or_else(|| {
        ApiError::not_found(
            "This server's public address is not an https:// one, so no other server can reach it.",
        )
    })?;
    Ok(Json(json!({ "m.server": address })))
}

/// Host and port of an `https://` URL.
fn server_address(public_url: &str) -> Option<String> {
    let address = public_url.strip_prefix("https://")?;
    let address = address.split('/').next()?;
    // A colon inside the brackets of an IPv6 address is none before a port.
    let has_port = address
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    Some(if has_port {
        address.to_owned()
    } else {
        format!("{address}:443")
    })
}

async fn support(state: Shared<State>) -> Result<Json<Value>, ApiError> {
    let support = &state.hs.settings.support;
    let mut body = serde_json::Map::new();
    let mut contact = serde_json::Map::new();
    if let Some(email) = &support.email {
        contact.insert("email_address".into(), email.as_str().into());
    }
    if let Some(matrix_id) = &support.matrix_id {
        contact.insert("matrix_id".into(), matrix_id.as_str().into());
    }
    if !contact.is_empty() {
        contact.insert("role".into(), "m.role.admin".into());
        body.insert("contacts".into(), json!([contact]));
    }
    if let Some(page) = &support.page {
        body.insert("support_page".into(), page.as_str().into());
    }
    if body.is_empty() {
        return Err(ApiError::not_found("This server names nobody to ask."));
    }
    Ok(Json(body.into()))
}

#[cfg(test)]
mod tests {
    use super::server_address;

    #[test]
    fn other_servers_come_where_clients_come() {
        let check =
            |url, address: Option<&str>| assert_eq!(server_address(url).as_deref(), address);
        check("https://chat.example.org", Some("chat.example.org:443"));
        check(
            "https://chat.example.org:8448",
            Some("chat.example.org:8448"),
        );
        check("https://[2001:db8::1]", Some("[2001:db8::1]:443"));
        check("https://[2001:db8::1]:8448", Some("[2001:db8::1]:8448"));
        check("http://127.0.0.1:8008", None);
    }
}
