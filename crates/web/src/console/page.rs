//! What all pages have in common: who asks, in which language, the frame around the content,
//! errors as pages, and the headers that keep others out.

use std::borrow::Borrow;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use askama::Template;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Form, RequestExt};

use tandem_domain::party::PartyId;

use super::Console;
use super::people::{Person, Role};
use super::session::{self, Session, Stage, Token, cookie};
use super::texts::Language;
use super::tries::{self, Who};
use crate::access::{BODY_TIME, is_safe, read};
use crate::assets::{ASSETS, Assets};
use crate::desk::Desk;
use crate::read::ReadError;
use crate::registry;
use crate::trace;

/// Bytes of a form at most.
const FORM_BYTES: usize = 256 * 1024;

/// Seconds after which a page that there was no room or no registry for may be there.
const AGAIN: u32 = 5;

/// Fields of a form at most, so that each of them has its place in the audit log; ours have fewer.
const FORM_FIELDS: usize = 50;

/// Pages may use their own style, script, pictures and addresses, and nothing else; nobody may
/// show them inside another page.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What pages look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Theme {
    /// As the device says.
    Auto,
    Light,
    Dark,
}

impl Theme {
    const ALL: [Theme; 3] = [Theme::Auto, Theme::Light, Theme::Dark];

    pub(super) fn name(self) -> &'static str {
        match self {
            Theme::Auto => "auto",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    fn of(name: &str) -> Option<Theme> {
        Theme::ALL.into_iter().find(|theme| theme.name() == name)
    }
}

/// A request for a page: who asks, and how the answer is to look.
pub(super) struct Visit {
    pub(super) console: Arc<Console>,
    pub(super) language: Language,
    pub(super) theme: Theme,
    pub(super) method: Method,
    /// Path and query.
    pub(super) path: String,
    /// Address that the request came from.
    pub(super) address: String,
    /// True if an open page takes its parts anew.
    pub(super) follows: bool,
    /// Number of the entry in the audit log that says what was asked for.
    pub(super) asked: OnceLock<i64>,
    pub(super) token: Token,
    /// True if the browser does not have the token yet.
    fresh: bool,
    /// What the browser says of having signed in before.
    mark: Option<String>,
    pub(super) session: Option<Session>,
    /// What stands at the top of the pages of somebody who is signed in.
    pub(super) top: Option<Top>,
}

/// What stands at the top of a page: for whom it is, of which book, and of which day.
pub(super) struct Top {
    desk: Arc<Desk>,
    party_id: PartyId,
    /// Books of which the party is one, by name and title.
    pub(super) books: Vec<(String, String)>,
    pub(super) party: String,
    pub(super) day: String,
    /// Proposals that wait for the person.
    proposals: i64,
    /// Changes about people that wait for the person.
    changes: i64,
}

/// A visit by somebody who is signed in.
pub(super) struct Signed {
    pub(super) visit: Arc<Visit>,
    pub(super) person: Person,
    /// The person's party.
    pub(super) party: PartyId,
    /// The book that the person looks at.
    pub(super) desk: Arc<Desk>,
}

/// Why there is no page. The frame makes a page of it.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// There is nothing here for this person, or nothing at all.
    NotFound,
    /// The person's roles do not allow it.
    Forbidden,
    /// The form did not come from a page of this session.
    Stale,
    /// A form that cannot be read.
    Unreadable,
    /// A form with more fields than any of ours.
    TooManyFields,
    /// Somebody must sign in first.
    SignIn,
    /// The person's institution is not a party of the book.
    NoParty,
    /// A demo was called by a name that is not this machine's.
    Elsewhere,
    /// Too much at once.
    Busy,
    /// The server that has the registry cannot be reached, or refuses; what it says, for the log.
    Unreachable(String),
    /// Something failed here; what, for the log.
    Failed(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        Fault::Failed(error.to_string())
    }
}

impl From<registry::Error> for Fault {
    fn from(error: registry::Error) -> Fault {
        match error {
            registry::Error::Server(..) => Fault::Unreachable(error.to_string()),
            error => Fault::Failed(error.to_string()),
        }
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Fault {
        Fault::Failed(error.to_string())
    }
}

impl From<askama::Error> for Fault {
    fn from(error: askama::Error) -> Fault {
        Fault::Failed(error.to_string())
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// A part of the navigation.
pub(super) struct NavGroup {
    pub(super) key: &'static str,
    pub(super) links: &'static [NavLink],
}

impl NavGroup {
    /// Its name in the page.
    pub(super) fn id(&self) -> String {
        self.key.replace('.', "-")
    }
}

/// A page in the navigation.
pub(super) struct NavLink {
    pub(super) path: &'static str,
    pub(super) key: &'static str,
    /// The role that it is for; none if it is for all.
    only: Option<Role>,
}

const NAVIGATION: &[NavGroup] = &[
    NavGroup {
        key: "nav.lending",
        links: &[
            link("/console", "nav.overview"),
            link("/console/applications", "nav.applications"),
            link("/console/loans", "nav.loans"),
            link("/console/agreement", "nav.agreement"),
        ],
    },
    NavGroup {
        key: "nav.money",
        links: &[
            link("/console/settlements", "nav.settlements"),
            link("/console/statements", "nav.statements"),
            link("/console/ledger", "nav.ledger"),
        ],
    },
    NavGroup {
        key: "nav.work",
        links: &[
            link("/console/referrals", "nav.referrals"),
            link("/console/cases", "nav.cases"),
            link("/console/approvals", "nav.approvals"),
        ],
    },
    NavGroup {
        key: "nav.system",
        links: &[
            link("/console/journal", "nav.journal"),
            link("/console/developer", "nav.developer"),
            NavLink {
                path: "/console/people",
                key: "nav.people",
                only: Some(Role::Admin),
            },
            NavLink {
                path: "/console/audit",
                key: "nav.audit",
                only: Some(Role::Auditor),
            },
        ],
    },
];

const fn link(path: &'static str, key: &'static str) -> NavLink {
    NavLink {
        path,
        key,
        only: None,
    }
}

impl Top {
    /// None if the person's institution is not a party of any book.
    fn of(
        console: &Console,
        person: &Person,
        chosen: Option<&str>,
    ) -> registry::Result<Option<Top>> {
        let own = console.desks.values().filter_map(|desk| {
            desk.look(|book| {
                let agreement = &book.latest()?.agreement;
                let id = agreement.party_id(&person.party)?;
                let name = agreement.party(id).name.clone();
                let parties = agreement.parties().map(|(_, party)| party.id.clone());
                let parties: Vec<_> = parties.collect();
                let title = agreement.file.title.clone();
                Some((desk, id, name, title, book.business_date(), parties))
            })
        });
        let own: Vec<_> = own.collect();
        let wanted = own.iter().find(|(desk, ..)| chosen == Some(desk.name()));
        let Some((desk, party_id, party, _, day, parties)) = wanted.or(own.first()) else {
            return Ok(None);
        };
        let books = own
            .iter()
            .map(|(desk, _, _, title, ..)| (desk.name().to_owned(), title.clone()));
        Ok(Some(Top {
            desk: Arc::clone(desk),
            party_id: *party_id,
            books: books.collect(),
            party: party.clone(),
            day: day.to_string(),
            proposals: super::approvals::waiting(console, desk.name(), person)?
                + super::amendments::waiting(console, desk.name(), person, parties)?
                + super::unmatched::waiting(console, desk.name(), person, *day)?,
            changes: super::team::waiting(console, person)?,
        }))
    }

    /// How much waits for the person on a page.
    pub(super) fn waiting(&self, link: &NavLink) -> i64 {
        match link.key {
            "nav.approvals" => self.proposals,
            "nav.people" => self.changes,
            _ => 0,
        }
    }

    /// Name of the book.
    pub(super) fn book(&self) -> &str {
        self.desk.name()
    }
}

/// Who is signed in, and what stands at the top of the pages.
fn known(console: &Console, request: &Request) -> registry::Result<(Option<Session>, Option<Top>)> {
    let headers = request.headers();
    let Some(token) = Token::of(headers, console.secure) else {
        return Ok((None, None));
    };
    let session = session::find(&console.registry, &token, console.now())?;
    let top = session
        .as_ref()
        .filter(|session| session.stage == Stage::Full);
    let top = top.map(|session| Top::of(console, &session.person, cookie(headers, "book")));
    let top = top.transpose()?.flatten();
    Ok((session, top))
}

impl Visit {
    fn of(
        console: &Arc<Console>,
        request: &Request,
        (session, top): (Option<Session>, Option<Top>),
    ) -> Visit {
        let headers = request.headers();
        let known = Token::of(headers, console.secure);
        let chosen = cookie(headers, "language").and_then(Language::of_tag);
        let accepted = headers.get(header::ACCEPT_LANGUAGE);
        let accepted = accepted.and_then(|header| header.to_str().ok());
        Visit {
            language: chosen.unwrap_or_else(|| Language::accepted(accepted.unwrap_or_default())),
            theme: cookie(headers, "theme")
                .and_then(Theme::of)
                .unwrap_or(Theme::Auto),
            path: {
                let path = request.uri().path_and_query();
                let path = path.map_or("/", |path| path.as_str());
                // The overview has no slash at its end.
                let rest = path
                    .strip_prefix('/')
                    .filter(|rest| rest.is_empty() || rest.starts_with('?'));
                format!("/console{}", rest.unwrap_or(path))
            },
            method: request.method().clone(),
            address: {
                let from = console.proxies.origin(request);
                from.map_or("–".to_owned(), |from| from.to_string())
            },
            follows: headers
                .get("sec-fetch-dest")
                .is_some_and(|to| to == "empty"),
            asked: OnceLock::new(),
            fresh: known.is_none(),
            mark: cookie(headers, tries::MARK).map(str::to_owned),
            token: known.unwrap_or_else(Token::new),
            session,
            top,
            console: Arc::clone(console),
        }
    }

    /// Who tries to sign in with a name.
    pub(super) fn who(&self, login: &str) -> Who {
        let console = &self.console;
        Who::of(&console.sealer, login, self.mark.as_deref(), console.now())
    }

    /// A text in the visitor's language.
    pub(super) fn t<'a>(&self, key: &'a str) -> &'a str {
        self.language.text(key)
    }

    /// Words one after the other, as the visitor's language sets them apart.
    pub(super) fn list(&self, words: &[impl Borrow<str>]) -> String {
        words.join(self.t("list.separator"))
    }

    /// A word of data in the visitor's language.
    pub(super) fn word<'a>(&self, group: &str, word: &'a str) -> &'a str {
        self.language.word(group, word)
    }

    /// The person, once signed in.
    pub(super) fn person(&self) -> Option<&Person> {
        let session = self.session.as_ref()?;
        (session.stage == Stage::Full).then_some(&session.person)
    }

    pub(super) fn languages(&self) -> [Language; 2] {
        Language::ALL
    }

    pub(super) fn themes(&self) -> [Theme; 3] {
        Theme::ALL
    }

    pub(super) fn assets(&self) -> &Assets {
        &ASSETS
    }

    pub(super) fn navigation(&self) -> &'static [NavGroup] {
        NAVIGATION
    }

    /// True if a page is for the person.
    pub(super) fn leads_to(&self, link: &NavLink) -> bool {
        let roles = self.person().map(|person| person.roles);
        link.only
            .is_none_or(|only| roles.is_some_and(|roles| roles.has(only)))
    }

    /// True if a page is the one that is shown, or above it.
    pub(super) fn is_at(&self, link: &NavLink) -> bool {
        let path = self.path.split('?').next().unwrap_or_default();
        let above = ABOVE.iter().find(|(own, _)| path.starts_with(own));
        let path = above.map_or(path, |(_, above)| above);
        let below = path.strip_prefix(link.path);
        below
            .is_some_and(|rest| rest.is_empty() || link.path != "/console" && rest.starts_with('/'))
    }

    /// A page.
    pub(super) fn page(&self, page: &impl Template) -> Result<Response, Fault> {
        self.page_with(StatusCode::OK, page)
    }

    /// A page with a status.
    pub(super) fn page_with(
        &self,
        status: StatusCode,
        page: &impl Template,
    ) -> Result<Response, Fault> {
        let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
        let mut response = (status, kind, page.render()?).into_response();
        if self.fresh {
            set_cookie(&mut response, self.token.cookie(self.console.secure));
        }
        Ok(response)
    }
}

/// Pages below others, by what their addresses do not tell.
const ABOVE: [(&str, &str); 3] = [
    ("/console/webhooks", "/console/developer"),
    ("/console/archives", "/console/loans"),
    ("/console/sales", "/console/approvals"),
];

/// Adds a cookie to an answer.
pub(super) fn set_cookie(response: &mut Response, cookie: HeaderValue) {
    response.headers_mut().append(header::SET_COOKIE, cookie);
}

/// Sends the browser to another page.
pub(super) fn go(path: &str) -> Response {
    let location = HeaderValue::try_from(path).unwrap_or(HeaderValue::from_static("/console"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// A path of the console to go on to; the overview if it is none.
pub(super) fn own_path(path: &str) -> &str {
    let path = path.strip_suffix('/').unwrap_or(path);
    let inside =
        path == "/console" || path.starts_with("/console/") || path.starts_with("/console?");
    let plain = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if inside && plain { path } else { "/console" }
}

impl<S: Sync> FromRequestParts<S> for Signed {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Signed, Fault> {
        let visit = visit(parts)?;
        let person = visit.person().cloned().ok_or(Fault::SignIn)?;
        let top = visit.top.as_ref().ok_or(Fault::NoParty)?;
        let (party, desk) = (top.party_id, Arc::clone(&top.desk));
        Ok(Signed {
            visit,
            person,
            party,
            desk,
        })
    }
}

impl Signed {
    /// True while the session lasts.
    pub(super) fn goes_on(&self) -> bool {
        let console = &self.visit.console;
        let found = session::find(&console.registry, &self.visit.token, console.now());
        found.is_ok_and(|session| session.is_some())
    }

    /// Refuses whoever does not have one of the roles.
    pub(super) fn must(&self, roles: &[Role]) -> Result<(), Fault> {
        let may = roles.iter().any(|role| self.person.roles.has(*role));
        may.then_some(()).ok_or(Fault::Forbidden)
    }
}

/// A visit by anybody.
pub(super) struct Anybody(pub(super) Arc<Visit>);

impl<S: Sync> FromRequestParts<S> for Anybody {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Anybody, Fault> {
        visit(parts).map(Anybody)
    }
}

fn visit(parts: &Parts) -> Result<Arc<Visit>, Fault> {
    let visit = parts.extensions.get::<Arc<Visit>>().cloned();
    visit.ok_or_else(|| Fault::Failed("the page has no frame".to_owned()))
}

/// What a form says, once it is known to come from a page that this browser was given, and once it is
/// noted that it was sent.
#[derive(Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// A field; empty if the form does not have it.
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    /// All fields, as they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.0.iter();
        fields.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// All values of a field that may be ticked more than once.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.0.iter().filter(move |(key, _)| key == name);
        values.map(|(_, value)| value.as_str())
    }
}

impl<S: Sync + Send> FromRequest<S> for Fields {
    type Rejection = Fault;

    async fn from_request(request: Request, _: &S) -> Result<Fields, Fault> {
        let (parts, body) = request.into_parts();
        let visit = visit(&parts)?;
        let body = read(body, FORM_BYTES, BODY_TIME).await;
        let body = body.map_err(|_| Fault::Unreadable)?;
        let request = Request::from_parts(parts, Body::from(body));
        let form: Result<Form<Vec<(String, String)>>, _> = request.extract().await;
        let fields = Fields(form.map_err(|_| Fault::Unreadable)?.0);
        if fields.0.len() > FORM_FIELDS {
            return Err(Fault::TooManyFields);
        }
        if visit.fresh || !visit.token.made(fields.get("form")) {
            return Err(Fault::Stale);
        }
        super::audit::asked(&visit, &fields).await?;
        Ok(fields)
    }
}

/// A page that says why there is none.
#[derive(Template)]
#[template(path = "fault.html")]
struct FaultPage<'a> {
    visit: &'a Visit,
    title: &'static str,
    text: &'static str,
}

impl Fault {
    fn page(self, visit: &Visit) -> Response {
        let (status, title, text) = match self {
            Fault::SignIn => {
                let path = own_path(&visit.path);
                let next: String = form_escaped(path);
                return go(&format!("/console/sign-in?next={next}"));
            }
            Fault::NoParty => (
                StatusCode::FORBIDDEN,
                "fault.no_party",
                "fault.no_party_text",
            ),
            Fault::NotFound => (
                StatusCode::NOT_FOUND,
                "fault.not_found",
                "fault.not_found_text",
            ),
            Fault::Forbidden => (
                StatusCode::FORBIDDEN,
                "fault.forbidden",
                "fault.forbidden_text",
            ),
            Fault::Stale => (StatusCode::FORBIDDEN, "fault.stale", "fault.stale_text"),
            Fault::Unreadable => (
                StatusCode::BAD_REQUEST,
                "fault.unreadable",
                "fault.unreadable_text",
            ),
            Fault::TooManyFields => (StatusCode::BAD_REQUEST, "fault.fields", "fault.fields_text"),
            Fault::Elsewhere => (
                StatusCode::MISDIRECTED_REQUEST,
                "fault.elsewhere",
                "fault.elsewhere_text",
            ),
            Fault::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "fault.busy",
                "fault.busy_text",
            ),
            Fault::Unreachable(error) => {
                tracing::error!(error, path = visit.path, "the registry cannot be reached");
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "fault.unreachable",
                    "fault.unreachable_text",
                )
            }
            Fault::Failed(error) => {
                tracing::error!(error, path = visit.path, "a page failed");
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "fault.failed",
                    "fault.failed_text",
                )
            }
        };
        let page = FaultPage { visit, title, text };
        let page = visit.page_with(status, &page);
        let mut page = page.unwrap_or_else(|_| status.into_response());
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let headers = page.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(AGAIN));
        }
        page
    }
}

/// Text as it may stand in a query.
pub(super) fn form_escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// Puts the frame around every page: who asks goes in, errors become pages, headers are added.
pub(super) async fn frame(
    State(console): State<Arc<Console>>,
    mut request: Request,
    next: Next,
) -> Response {
    let known = match known(&console, &request) {
        Ok(known) => known,
        Err(error) => {
            let visit = Visit::of(&console, &request, (None, None));
            let mut response = Fault::from(error).page(&visit);
            protect(response.headers_mut(), console.secure);
            return response;
        }
    };
    let visit = Arc::new(Visit::of(&console, &request, known));
    if console.demo && !is_local(&request, &console.base) {
        let mut response = Fault::Elsewhere.page(&visit);
        protect(response.headers_mut(), console.secure);
        return response;
    }
    if visit.person().is_some() {
        trace::known();
        // A page that follows the book by itself is not somebody who uses it.
        if !visit.follows
            && let Err(error) = session::used(&console.registry, &visit.token, console.now())
        {
            tracing::error!(%error, "that a session is used cannot be written");
        }
    }
    request.extensions_mut().insert(Arc::clone(&visit));
    // A page looks through the book's file, on a thread of its own, so that others do not wait.
    let reader = visit.person().filter(|_| is_safe(&visit.method));
    let run = next.run(request);
    let mut response = match reader {
        Some(person) => match console.reads.apart(&person.party, run).await {
            Ok(response) => response,
            Err(_) => Fault::Busy.into_response(),
        },
        None => run.await,
    };
    if let Some(fault) = response.extensions_mut().remove::<Fault>() {
        response = fault.page(&visit);
    }
    let status = super::audit::status(&response);
    if let Err(fault) = super::audit::answered(&visit, status).await {
        response = fault.page(&visit);
    }
    protect(response.headers_mut(), console.secure);
    response
}

/// True if a request was sent to a name of this machine, or to the one that callers write. Another
/// site can give its own name the address of this machine, and read then what the browser is shown.
fn is_local(request: &Request, base: &str) -> bool {
    let sent = request.headers().get(header::HOST);
    let sent = sent.and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let Some(sent) = request.uri().authority().or(sent.as_ref()) else {
        return false;
    };
    let host = sent.host();
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    let own = base.parse::<Uri>().ok();
    own.is_some_and(|own| own.host() == Some(host))
        || host.eq_ignore_ascii_case("localhost")
        || plain
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

fn protect(headers: &mut HeaderMap, secure: bool) {
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "same-origin");
    set(header::CACHE_CONTROL, "no-store");
    set(
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    set(
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    );
    set(
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=()",
    );
    if secure {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
}

/// The answer where there is no page.
pub(super) async fn nothing() -> Fault {
    Fault::NotFound
}

/// Keeps language, looks and book for this browser.
pub(super) async fn prefer(State(console): State<Arc<Console>>, fields: Fields) -> Response {
    let mut response = go(own_path(fields.get("back")));
    let theme = Theme::of(fields.get("theme")).map(|theme| ("theme", theme.name()));
    let language = Language::of_tag(fields.get("language"));
    let language = language.map(|language| ("language", language.tag()));
    let book = console.desks.get_key_value(fields.get("book"));
    let book = book.map(|(book, _)| ("book", book.as_str()));
    for (name, value) in theme.into_iter().chain(language).chain(book) {
        let text = format!("{name}={value}; Path=/console; Max-Age=31536000; SameSite=Lax");
        set_cookie(
            &mut response,
            HeaderValue::try_from(text).expect("the value is a word of ours"),
        );
    }
    response
}
