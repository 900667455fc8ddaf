//! Who a story is about: a registered user with a password. Client-server API v1.19, "Account registration".

use anyhow::{Context, Result, ensure};
use hmac::{Hmac, Mac};
use matrix_sdk::{
    Client,
    ruma::{
        OwnedUserId,
        api::client::{
            account::register,
            uiaa::{
                AuthData, AuthType, MatrixUserIdentifier, Password, RegistrationToken, UiaaInfo,
                UserIdentifier,
            },
        },
    },
};
use serde_json::{Value, json};
use sha1::Sha1;
use std::{
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::server::{Registration, Server};

/// A user of the server under test.
#[derive(Clone, Debug)]
pub struct Person {
    pub user_id: OwnedUserId,
    pub password: String,
}

impl Person {
    /// Registers `name`, made unique so that stories can be told again on the same server.
    pub async fn register(server: &Server, name: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let username = format!(
            "{name}-{now}-{}-{}",
            process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let password = format!("{name} likes long passwords, {now}");
        let user_id = match &server.registration {
            Registration::Token(token) => {
                register_by_token(server, &username, &password, token).await
            }
            Registration::SharedSecret(secret) => {
                register_by_secret(server, &username, &password, secret).await
            }
        };
        let user_id = user_id.with_context(|| format!("registering {username}"))?;
        ensure!(
            user_id.localpart() == username,
            "{username} was registered as {user_id}"
        );
        Ok(Self { user_id, password })
    }

    /// This person's answer to the password stage of user-interactive authentication.
    pub fn password_stage(&self, asked: &UiaaInfo) -> AuthData {
        let user = UserIdentifier::Matrix(MatrixUserIdentifier::new(self.user_id.to_string()));
        let mut password = Password::new(user, self.password.clone());
        password.session = asked.session.clone();
        AuthData::Password(password)
    }
}

/// Registers as a client does: asks, learns which stages there are, and presents the token.
async fn register_by_token(
    server: &Server,
    username: &str,
    password: &str,
    token: &str,
) -> Result<OwnedUserId> {
    let client = Client::builder()
        .homeserver_url(&server.url)
        .build()
        .await?;
    let mut request = register::v3::Request::new();
    request.username = Some(username.to_owned());
    request.password = Some(password.to_owned());
    request.inhibit_login = true;

    let refusal = client
        .matrix_auth()
        .register(request.clone())
        .await
        .err()
        .context("registered without a token")?;
    let asked = refusal
        .as_uiaa_response()
        .with_context(|| format!("no stages were offered: {refusal}"))?;
    let stages_are = |stages: &[AuthType]| stages == [AuthType::RegistrationToken];
    ensure!(
        asked.flows.iter().any(|flow| stages_are(&flow.stages)),
        "no flow by token alone: {:?}",
        asked.flows
    );

    let mut stage = RegistrationToken::new(token.to_owned());
    stage.session = asked.session.clone();
    request.auth = Some(AuthData::RegistrationToken(stage));
    let response = client.matrix_auth().register(request).await?;
    ensure!(response.access_token.is_none(), "inhibit_login was ignored");
    Ok(response.user_id)
}

/// Registers by the nonce and MAC that Synapse's admin API defined and test suites rely on.
async fn register_by_secret(
    server: &Server,
    username: &str,
    password: &str,
    secret: &str,
) -> Result<OwnedUserId> {
    let endpoint = format!("{}/_synapse/admin/v1/register", server.url);
    let http = reqwest::Client::new();
    let nonce: Value = http
        .get(&endpoint)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    let nonce = nonce["nonce"].as_str().context("no nonce")?;

    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes())?;
    mac.update(
        [nonce, username, password, "notadmin"]
            .join("\0")
            .as_bytes(),
    );
    let mac: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let body = json!({ "nonce": nonce, "username": username, "password": password, "admin": false, "mac": mac });
    let response = http.post(&endpoint).json(&body).send().await?;
    let status = response.status();
    let answer: Value = response.json().await?;
    ensure!(status.is_success(), "{status}: {answer}");
    // This way of registering signs in, too; a story begins with nobody signed in.
    let token = answer["access_token"].as_str().context("no access_token")?;
    let logout = format!("{}/_matrix/client/v3/logout", server.url);
    http.post(&logout)
        .bearer_auth(token)
        .json(&json!({}))
        .send()
        .await?
        .error_for_status()?;
    Ok(answer["user_id"].as_str().context("no user_id")?.parse()?)
}
