//! A client of a server under test: sends requests, gives back status and JSON.

use std::net::IpAddr;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }
}

/// Somebody who calls a server: signed in, or not (empty `access_token`).
#[derive(Clone)]
pub struct Client {
    pub(crate) router: Router,
    pub user_id: String,
    pub device_id: String,
    pub access_token: String,
    /// None: requests seem to come from 127.0.0.1.
    pub address: Option<IpAddr>,
}

impl Client {
    /// The same client, calling from another address.
    pub fn from_address(&self, address: &str) -> Self {
        Self {
            address: Some(address.parse().expect("an IP address")),
            ..self.clone()
        }
    }

    /// The same client with another access token.
    pub fn with_token(&self, access_token: &str) -> Self {
        Self {
            access_token: access_token.to_owned(),
            ..self.clone()
        }
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.request(Method::GET, path, None).await
    }

    pub async fn put(&self, path: &str, body: Value) -> (u16, Value) {
        self.request(Method::PUT, path, Some(body)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.request(Method::POST, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str, body: Value) -> (u16, Value) {
        self.request(Method::DELETE, path, Some(body)).await
    }

    /// Status and JSON body of an answer.
    pub async fn request(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let body = body.map(|body| body.to_string().into_bytes());
        let answer = self.send(method, path, body.unwrap_or_default(), &[]).await;
        (answer.status, answer.json())
    }

    /// A request of any bytes and further headers; all of the answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !self.access_token.is_empty() {
            request = request.header(
                header::AUTHORIZATION,
                format!("Bearer {}", self.access_token),
            );
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body)).expect("a valid request");
        if let Some(address) = self.address {
            request.extensions_mut().insert(api::ClientAddress(address));
        }
        let Ok(response) = self.router.clone().oneshot(request).await;
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.expect("a whole body").to_bytes();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            bytes: bytes.to_vec(),
        }
    }

    /// The same user on a new device, signed in by the password that [`crate::Server::register`] gave.
    pub async fn another_device(&self, device_id: &str) -> Self {
        let body = json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": self.user_id },
            "password": crate::Server::PASSWORD,
            "device_id": device_id,
        });
        let (status, answer) = self.post("/_matrix/client/v3/login", body).await;
        assert_eq!(status, 200, "{answer}");
        Self {
            device_id: device_id.to_owned(),
            ..self.with_token(answer["access_token"].as_str().expect("an access token"))
        }
    }
}
