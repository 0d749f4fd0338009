//! The console, as browsers of people of several parties use it.

mod amendments;
mod audit;
mod book;
mod clients;
mod isolation;
mod pages;
mod passkeys;
mod referrals;
mod sign_in;
mod team;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, StatusCode, header};
use tower::ServiceExt;

use super::people::{self, NewPerson, Role};
use super::*;
use crate::metrics::Metrics;
use crate::registry::NodeFile;
use crate::registry::tests::registry;
use crate::seal::Sealer;

const PASSWORD: &str = "correct horse battery";
const SECRET: &[u8] = b"an authenticator's s";

/// A browser before a console whose time stands still until it is moved.
struct Browser {
    app: Router,
    registry: Arc<Registry>,
    audit: Arc<Audit>,
    /// The audit log's file.
    entries: Arc<NodeFile>,
    time: Arc<AtomicI64>,
    cookies: Vec<(String, String)>,
    /// What stands in its address bar.
    host: String,
    /// True if it is an open page that follows the book.
    follows: bool,
}

/// An answer.
struct Page {
    status: StatusCode,
    location: String,
    headers: axum::http::HeaderMap,
    body: String,
}

impl Page {
    /// Value of a hidden field.
    fn hidden(&self, name: &str) -> String {
        let from = format!("name=\"{name}\" value=\"");
        let rest = self.body.split(&from).nth(1).unwrap_or_default();
        rest.split('"').next().unwrap_or_default().to_owned()
    }

    fn says(&self, text: &str) {
        assert!(self.body.contains(text), "`{text}` in {}", self.body);
    }
}

impl Browser {
    fn new(secure: bool) -> Browser {
        Browser::of(BTreeMap::new(), secure)
    }

    /// A browser before a console of books.
    fn of(desks: BTreeMap<String, Arc<Desk>>, secure: bool) -> Browser {
        Browser::on(registry(&crate::schemas()), desks, secure)
    }

    /// The same with a registry.
    fn on(registry: Registry, desks: BTreeMap<String, Arc<Desk>>, secure: bool) -> Browser {
        Browser::before(registry, desks, secure, false)
    }

    /// The same, or before a demo.
    fn before(
        registry: Registry,
        desks: BTreeMap<String, Arc<Desk>>,
        secure: bool,
        demo: bool,
    ) -> Browser {
        let registry = Arc::new(registry);
        let entries = NodeFile::in_memory(&crate::audit::SCHEMAS).unwrap();
        let time = Arc::new(AtomicI64::new(1_700_000_000));
        let clock = Arc::clone(&time);
        let clock: Clock = Arc::new(move || clock.load(Ordering::Relaxed));
        let audit = Audit::open(entries.another().unwrap(), 1, &Metrics::default()).unwrap();
        let audit = Arc::new(audit);
        let console = Console {
            registry: Arc::clone(&registry),
            sealer: sealer(),
            desks,
            audit: Arc::clone(&audit),
            proxies: Proxies::default(),
            webhooks: Arc::new(Webhooks::new(&registry, &sealer(), false).unwrap()),
            secure,
            base: "https://lending.example".to_owned(),
            sandbox: true,
            demo,
            relying_party: passkey::RelyingParty::of("https://lending.example"),
            challenges: passkey::Challenges::new(),
            clock,
            tries: tries::Tries::default(),
            checks: Semaphore::new(CHECKS),
            known_checks: Semaphore::new(CHECKS),
            reads: Arc::default(),
            figures: Mutex::default(),
            watch: Mutex::default(),
            fresh: Mutex::default(),
        };
        Browser {
            app: router(console),
            registry,
            audit,
            entries: Arc::new(entries),
            time,
            cookies: Vec::new(),
            host: "localhost:8080".to_owned(),
            follows: false,
        }
    }

    /// Another browser before the same console.
    fn another(&self) -> Browser {
        Browser {
            app: self.app.clone(),
            registry: Arc::clone(&self.registry),
            audit: Arc::clone(&self.audit),
            entries: Arc::clone(&self.entries),
            time: Arc::clone(&self.time),
            cookies: Vec::new(),
            host: self.host.clone(),
            follows: false,
        }
    }

    /// Signs somebody in who is added before.
    async fn signed_in(&self, login: &str, party: &str, roles: &[Role]) -> Browser {
        let new = NewPerson {
            login,
            name: &format!("{login} of {party}"),
            party,
            roles: roles.iter().copied().collect(),
        };
        let person = self.add(new, true);
        self.goes_on(person)
    }

    /// A browser in which somebody has signed in.
    fn goes_on(&self, person: i64) -> Browser {
        let mut browser = self.another();
        let now = browser.time.load(Ordering::Relaxed);
        let token =
            session::start(&self.registry, person, session::Stage::Full, None, now).unwrap();
        let cookie = token.cookie(false).to_str().unwrap().to_owned();
        let value = cookie.split(['=', ';']).nth(1).unwrap();
        browser.cookies = vec![("tandem".to_owned(), value.to_owned())];
        browser
    }

    /// Signs in somebody of a party who works and somebody who approves.
    async fn desk_and_approver(&self, party: &str) -> (Browser, Browser) {
        let desk = self.signed_in("desk", party, &[Role::Operations]);
        let approver = self.signed_in("approver", party, &[Role::Approver]);
        (desk.await, approver.await)
    }

    fn person(&self, enrolled: bool) -> i64 {
        let person = NewPerson {
            login: "li.wei@river.example",
            name: "Li Wei",
            party: "river",
            roles: [Role::Viewer].into_iter().collect(),
        };
        self.add(person, enrolled)
    }

    fn add(&self, new: NewPerson<'_>, enrolled: bool) -> i64 {
        let person = people::add(&self.registry, new, PASSWORD).unwrap();
        if enrolled {
            self.enrol(person);
        }
        person
    }

    fn enrol(&self, person: i64) {
        let secret = people::sealed(&sealer(), person, SECRET);
        people::give_authenticator(&self.registry, person, &secret).unwrap();
    }

    fn pass(&self, seconds: i64) {
        self.time.fetch_add(seconds, Ordering::Relaxed);
    }

    fn code(&self) -> String {
        code(SECRET, self.time.load(Ordering::Relaxed))
    }

    async fn send(&mut self, method: Method, path: &str, body: String) -> Page {
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::COOKIE, cookies.join("; "))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(
                "sec-fetch-dest",
                if self.follows { "empty" } else { "document" },
            )
            .extension(ConnectInfo(SocketAddr::from(([203, 0, 113, 7], 50_000))))
            .body(Body::from(body))
            .unwrap();
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        for cookie in parts.headers.get_all(header::SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (key, value) = pair.split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != key);
            self.cookies.push((key.to_owned(), value.to_owned()));
        }
        let location = parts.headers.get(header::LOCATION);
        Page {
            status: parts.status,
            location: location.map_or_else(String::new, |text| text.to_str().unwrap().to_owned()),
            headers: parts.headers.clone(),
            body: String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap(),
        }
    }

    async fn get(&mut self, path: &str) -> Page {
        self.send(Method::GET, path, String::new()).await
    }

    /// Fills in the form of a page and sends it.
    async fn fill(&mut self, page: &str, path: &str, fields: &[(&str, &str)]) -> Page {
        let form = self.get(page).await.hidden("form");
        self.post(path, &form, fields).await
    }

    async fn post(&mut self, path: &str, form: &str, fields: &[(&str, &str)]) -> Page {
        let own = [("form", form)];
        let fields = own.iter().chain(fields);
        let fields = fields.map(|(name, value)| format!("{name}={}", page::form_escaped(value)));
        let body = fields.collect::<Vec<_>>().join("&");
        self.send(Method::POST, path, body).await
    }

    async fn password(&mut self, password: &str) -> Page {
        let fields = [("login", "li.wei@river.example"), ("password", password)];
        self.fill("/console/sign-in", "/console/sign-in", &fields)
            .await
    }

    async fn enter_code(&mut self, code: &str) -> Page {
        let path = "/console/sign-in/code";
        self.fill(
            path,
            path,
            &[("code", code), ("next", "/console/loans?class=m1")],
        )
        .await
    }

    async fn sign_in(&mut self) {
        assert_eq!(
            self.password(PASSWORD).await.location,
            "/console/sign-in/code?next="
        );
        let code = self.code();
        let page = self.enter_code(&code).await;
        assert_eq!(page.location, "/console/loans?class=m1", "{}", page.body);
    }
}

fn sealer() -> Sealer {
    Sealer::new(&[1; 32])
}

fn code(secret: &[u8], time: i64) -> String {
    let totp = totp_rs::Builder::new().with_secret(secret.to_vec());
    let totp = totp.build_noncompliant();
    totp.generate(time as u64).to_string()
}
