//! The pages over HTTP, without a browser: headers, refusals, what stays in a form, forgery.

#[path = "fake/accounts.rs"]
mod accounts;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use tower::ServiceExt;
use web::{RegistrationMode, Site};

/// The pages with a visitor's browser, as far as cookies go.
struct Visitor {
    pages: Router,
    cookies: Vec<String>,
}

struct Page {
    status: StatusCode,
    headers: http::HeaderMap,
    body: String,
}

impl Visitor {
    fn of(registration: RegistrationMode, public_url: &str) -> Self {
        let site = Site {
            server_name: "example.org".into(),
            public_url: public_url.into(),
            registration,
            cookie_key: [7; 32],
        };
        let random = Arc::new(accounts::Counting(0.into()));
        Visitor {
            pages: web::router(site, accounts::FakeAccounts::default(), random),
            cookies: Vec::new(),
        }
    }

    fn new() -> Self {
        Self::of(RegistrationMode::Token, "https://chat.example.org")
    }

    async fn get(&mut self, path: &str) -> Page {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let body = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", escape(value)))
            .collect::<Vec<_>>()
            .join("&");
        let request =
            Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    async fn send(&mut self, mut request: Request<Body>) -> Page {
        request
            .extensions_mut()
            .insert(ConnectInfo(SocketAddr::from(([203, 0, 113, 9], 4711))));
        if !self.cookies.is_empty() {
            request
                .headers_mut()
                .insert(header::COOKIE, self.cookies.join("; ").parse().unwrap());
        }
        let response = self.pages.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        for cookie in parts.headers.get_all(header::SET_COOKIE) {
            let pair = cookie
                .to_str()
                .unwrap()
                .split(';')
                .next()
                .unwrap()
                .to_owned();
            let name = pair.split('=').next().unwrap().to_owned();
            self.cookies
                .retain(|earlier| !earlier.starts_with(&format!("{name}=")));
            self.cookies.push(pair);
        }
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Page {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    /// Opens a page with a form, fills the form in and sends it.
    async fn fill_in(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let page = self.get(path).await;
        let hidden = ["csrf", "token", "session"].map(|name| (name, page.hidden(name)));
        let mut all: Vec<(&str, &str)> = Vec::new();
        for (name, value) in &hidden {
            if let Some(value) = value {
                all.push((name, value));
            }
        }
        all.extend(fields);
        self.post(path.split('?').next().unwrap(), &all).await
    }
}

impl Page {
    fn hidden(&self, name: &str) -> Option<String> {
        let (_, rest) = self.body.split_once(&format!("name=\"{name}\" value=\""))?;
        Some(rest.split('"').next()?.to_owned())
    }

    fn says(&self, text: &str) {
        assert!(
            self.body.contains(text),
            "{text:?} is not in {} {}",
            self.status,
            self.body
        );
    }
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

const PASSWORD: &str = "teapot river anvil";

#[tokio::test]
async fn a_friend_registers_and_learns_what_to_do_now() {
    let mut friend = Visitor::new();
    let entries = [
        ("username", "Ada"),
        ("password", PASSWORD),
        ("repeat", PASSWORD),
    ];
    let answer = friend.fill_in("/register?token=friend", &entries).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    assert_eq!(answer.headers[header::LOCATION], "/welcome");
    let welcome = friend.get("/welcome").await;
    welcome.says("You are in, ada");
    welcome.says("@ada:example.org");
    welcome.says("https://chat.example.org");
    welcome.says("https://mobile.element.io/");
    welcome.says("https://app.element.io/");
    welcome.says("<svg");
    assert!(!welcome.body.contains("administrator"), "she is none");
    assert!(
        !welcome.body.contains("KITH_LISTEN"),
        "others reach this server"
    );
}

#[tokio::test]
async fn the_first_administrator_learns_it_and_that_nobody_else_reaches_a_loopback_server() {
    let mut admin = Visitor::of(RegistrationMode::Token, "http://127.0.0.1:8008");
    admin
        .get("/register?token=first-admin")
        .await
        .says("You will be the administrator");
    let entries = [
        ("username", "ada"),
        ("password", PASSWORD),
        ("repeat", PASSWORD),
    ];
    admin.fill_in("/register?token=first-admin", &entries).await;
    let welcome = admin.get("/welcome").await;
    welcome.says("You are the administrator");
    welcome.says("KITH_PUBLIC_URL");
    welcome.says("KITH_LISTEN");
}

#[tokio::test]
async fn each_invitation_that_does_not_work_has_a_page_of_its_own() {
    for (token, status, text) in [
        ("used", 410, "has been used"),
        ("expired", 410, "has expired"),
        ("revoked", 410, "was taken back"),
        ("wrong", 404, "do not know this invitation"),
        ("not%20a%20token%21", 400, "not complete"),
        ("no-database", 503, "try again"),
    ] {
        let page = Visitor::new()
            .get(&format!("/register?token={token}"))
            .await;
        assert_eq!(page.status.as_u16(), status, "{token}");
        page.says(text);
    }
    Visitor::new()
        .get("/register")
        .await
        .says("Do you have an invitation?");
    Visitor::new()
        .get("/register?token=")
        .await
        .says("Do you have an invitation?");
}

#[tokio::test]
async fn what_is_wrong_stands_beside_its_field_and_the_entries_stay() {
    for (username, password, repeat, text) in [
        ("taken", PASSWORD, PASSWORD, "already called “taken”"),
        ("bridge_bot", PASSWORD, PASSWORD, "kept for programs"),
        ("ada lovelace", PASSWORD, PASSWORD, "small letters"),
        ("", PASSWORD, PASSWORD, "choose a name"),
        ("ada", "password1", "password1", "too easy to guess"),
        ("ada", "short", "short", "too short"),
        ("ada", "", "", "choose a password"),
        ("ada", PASSWORD, "teapot river", "not the same"),
    ] {
        let entries = [
            ("username", username),
            ("password", password),
            ("repeat", repeat),
        ];
        let page = Visitor::new()
            .fill_in("/register?token=friend", &entries)
            .await;
        assert_eq!(
            page.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{username} {password}"
        );
        page.says(text);
        page.says("aria-invalid=\"true\"");
        page.says(&format!("name=\"username\" value=\"{username}\""));
        assert_eq!(page.hidden("token").as_deref(), Some("friend"));
    }
}

#[tokio::test]
async fn names_are_understood_as_people_write_them() {
    for written in ["Ada", " @ada:example.org ", "@ADA"] {
        let mut friend = Visitor::new();
        let entries = [
            ("username", written),
            ("password", PASSWORD),
            ("repeat", PASSWORD),
        ];
        friend.fill_in("/register?token=friend", &entries).await;
        friend.get("/welcome").await.says("@ada:example.org");
    }
}

#[tokio::test]
async fn an_invitation_for_one_name_makes_that_account_whatever_is_typed() {
    let mut friend = Visitor::new();
    friend
        .get("/register?token=for-grace")
        .await
        .says("value=\"grace\"");
    let entries = [
        ("username", "mallory"),
        ("password", PASSWORD),
        ("repeat", PASSWORD),
    ];
    friend.fill_in("/register?token=for-grace", &entries).await;
    friend.get("/welcome").await.says("@grace:example.org");
}

#[tokio::test]
async fn a_form_sent_by_another_site_makes_no_account() {
    let entries = [
        ("token", "friend"),
        ("username", "ada"),
        ("password", PASSWORD),
        ("repeat", PASSWORD),
    ];
    let mut visitor = Visitor::new();
    let without_cookie = visitor.post("/register", &entries).await;
    assert_eq!(without_cookie.status, StatusCode::UNPROCESSABLE_ENTITY);
    without_cookie.says("press the button once more");
    let mut forged = entries.to_vec();
    forged.push(("csrf", "AAAA.BBBB"));
    assert_eq!(
        visitor.post("/register", &forged).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    // The page it answered with works, since a person presses the button once more.
    let again = visitor
        .fill_in("/register?token=friend", &entries[1..])
        .await;
    assert_eq!(again.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn too_many_attempts_are_told_so() {
    let entries = [
        ("username", "hasty"),
        ("password", PASSWORD),
        ("repeat", PASSWORD),
    ];
    let page = Visitor::new()
        .fill_in("/register?token=friend", &entries)
        .await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(page.headers[header::RETRY_AFTER], "2");
}

#[tokio::test]
async fn open_and_closed_servers_say_so() {
    let mut open = Visitor::of(RegistrationMode::Open, "https://chat.example.org");
    open.get("/").await.says("Everyone is welcome");
    let entries = [
        ("username", "ada"),
        ("password", PASSWORD),
        ("repeat", PASSWORD),
    ];
    assert_eq!(
        open.fill_in("/register", &entries).await.status,
        StatusCode::SEE_OTHER
    );
    let mut closed = Visitor::of(RegistrationMode::Closed, "https://chat.example.org");
    closed.get("/").await.says("no new accounts");
    assert_eq!(
        closed.get("/register?token=friend").await.status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_by_a_link() {
    let mut visitor = Visitor::new();
    let short = visitor
        .fill_in(
            "/reset?token=forgotten",
            &[("password", "short"), ("repeat", "short")],
        )
        .await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    let own_name = visitor
        .fill_in(
            "/reset?token=forgotten",
            &[("password", "ada ada ada"), ("repeat", "ada ada ada")],
        )
        .await;
    own_name.says("too easy to guess");
    let saved = visitor
        .fill_in(
            "/reset?token=forgotten",
            &[("password", PASSWORD), ("repeat", PASSWORD)],
        )
        .await;
    assert_eq!(saved.status, StatusCode::OK);
    saved.says("new password is saved");
    for (token, status) in [
        ("used", 410),
        ("expired", 410),
        ("wrong", 404),
        ("", 404),
        ("%3C", 404),
    ] {
        assert_eq!(
            visitor
                .get(&format!("/reset?token={token}"))
                .await
                .status
                .as_u16(),
            status,
            "{token}"
        );
    }
}

#[tokio::test]
async fn steps_of_user_interactive_authentication_have_pages() {
    let fallback =
        |auth_type: &str| format!("/_matrix/client/v3/auth/{auth_type}/fallback/web?session=known");
    let mut visitor = Visitor::new();
    let done = visitor.fill_in(&fallback("m.login.dummy"), &[]).await;
    done.says("authDone");
    let wrong = visitor
        .fill_in(
            &fallback("m.login.registration_token"),
            &[("answer", "expired")],
        )
        .await;
    wrong.says("has expired");
    visitor
        .fill_in(
            &fallback("m.login.registration_token"),
            &[("answer", " friend ")],
        )
        .await
        .says("authDone");
    visitor
        .fill_in(&fallback("m.login.password"), &[("answer", "wrong")])
        .await
        .says("not right");
    visitor
        .fill_in(&fallback("m.login.password"), &[("answer", PASSWORD)])
        .await
        .says("authDone");
    let over = visitor
        .fill_in(
            "/_matrix/client/v3/auth/m.login.dummy/fallback/web?session=gone",
            &[],
        )
        .await;
    assert_eq!(over.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        visitor.get(&fallback("m.login.nonsense")).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn every_page_carries_the_headers_that_keep_it_safe() {
    for path in [
        "/",
        "/register",
        "/register?token=friend",
        "/register?token=used",
        "/welcome",
        "/reset?token=forgotten",
        "/_matrix/static/client/login/",
        "/_matrix/client/v3/auth/m.login.dummy/fallback/web?session=known",
    ] {
        let page = Visitor::new().get(path).await;
        let policy = page.headers[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(page.headers[header::X_FRAME_OPTIONS], "DENY", "{path}");
        assert_eq!(
            page.headers[header::X_CONTENT_TYPE_OPTIONS],
            "nosniff",
            "{path}"
        );
        assert_eq!(
            page.headers[header::REFERRER_POLICY],
            "no-referrer",
            "{path}"
        );
        assert_eq!(page.headers[header::CACHE_CONTROL], "no-store", "{path}");
        assert!(
            !page.body.contains("src=\"http") && !page.body.contains("style=\""),
            "{path}"
        );
    }
}

#[tokio::test]
async fn what_visitors_type_is_text_and_never_markup() {
    let entries = [
        ("username", "\"><script>alert(1)</script>"),
        ("password", PASSWORD),
        ("repeat", PASSWORD),
    ];
    let page = Visitor::new()
        .fill_in("/register?token=friend", &entries)
        .await;
    assert!(!page.body.contains("<script>alert"), "{}", page.body);
}

#[tokio::test]
async fn cookies_are_kept_from_scripts_and_plain_connections() {
    let page = Visitor::new().get("/register?token=friend").await;
    let cookie = page.headers[header::SET_COOKIE].to_str().unwrap();
    for part in ["HttpOnly", "SameSite=Lax", "Secure"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let page = Visitor::of(RegistrationMode::Token, "http://127.0.0.1:8008")
        .get("/register?token=friend")
        .await;
    assert!(
        !page.headers[header::SET_COOKIE]
            .to_str()
            .unwrap()
            .contains("Secure"),
        "the browser would drop it"
    );
}
