//! The pages with accounts in memory, to look at while working on them: `cargo run -p web --example preview`.
//! Tokens: friend, first-admin, for-grace, used, expired, revoked; `/reset?token=forgotten`.

#[path = "../tests/fake/accounts.rs"]
mod accounts;

use std::net::SocketAddr;
use std::sync::Arc;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments
        .next()
        .unwrap_or_else(|| "127.0.0.1:8010".to_owned());
    let public_url = arguments
        .next()
        .unwrap_or_else(|| "https://chat.example.org".to_owned());
    let registration = match arguments.next().as_deref() {
        Some("open") => web::RegistrationMode::Open,
        Some("closed") => web::RegistrationMode::Closed,
        _ => web::RegistrationMode::Token,
    };
    let site = web::Site {
        server_name: "example.org".to_owned(),
        public_url,
        registration,
        cookie_key: [7; 32],
    };
    let random = Arc::new(accounts::Counting(0.into()));
    let router = web::router(site, accounts::FakeAccounts::default(), random);
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("the pages are at http://{address}");
    axum::serve(
        listener,
        router.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .await
}
