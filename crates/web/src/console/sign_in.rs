//! Signing in: a password, then a code from an authenticator; at first a password of one's own
//! and an authenticator. And signing out.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use qrcodegen::{QrCode, QrCodeEcc};
use serde::Deserialize;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::page::{Anybody, Fault, Fields, Visit, form_escaped, go, own_path, set_cookie};
use super::passkey::{self, Asked, Purpose, SignIn};
use super::people::{self, PASSWORD_LENGTH, Person, PersonError};
use super::session::{self, Session, Stage, Token};
use super::tries::{self, Who};
use super::{Console, audit};

/// How long somebody waits while others' passwords are checked.
const QUEUE: Duration = Duration::from_secs(5);

/// What became of a password.
enum Checked {
    Right(Person),
    Wrong,
    /// It was not checked: there were too many tries with the name or from the address. What says
    /// so, and seconds until another.
    Refused(&'static str, i64),
}

/// Where to go after signing in.
#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    visit: &'a Visit,
    next: &'a str,
    login: &'a str,
    error: String,
    notice: bool,
    /// Challenge and host for a passkey, where there are any.
    passkey: Option<(String, String)>,
    /// In a demo: who can sign in.
    demo: Vec<String>,
}

impl SignInPage<'_> {
    /// How to sign in to a demo.
    fn demo_text(&self) -> String {
        self.visit
            .language
            .fill("sign_in.demo", &[people::DEMO_PASSWORD])
    }
}

#[derive(Template)]
#[template(path = "code.html")]
struct CodePage<'a> {
    visit: &'a Visit,
    next: &'a str,
    error: &'static str,
    /// In a demo: what the authenticator shows.
    demo: Option<String>,
}

#[derive(Template)]
#[template(path = "enrol.html")]
struct EnrolPage<'a> {
    visit: &'a Visit,
    next: &'a str,
    url: String,
    secret: String,
    side: i32,
    picture: String,
    length: String,
    error: &'static str,
}

/// Shows the form for name and password.
pub(super) async fn ask(
    Anybody(visit): Anybody,
    Query(next): Query<Next>,
) -> Result<Response, Fault> {
    if visit.person().is_some() {
        return Ok(go(own_path(&next.next)));
    }
    visit.page(&SignInPage {
        visit: &visit,
        next: &next.next,
        login: "",
        error: String::new(),
        notice: !next.next.is_empty(),
        passkey: passkey_asked(&visit),
        demo: logins(&visit.console),
    })
}

/// Checks name and password.
pub(super) async fn password(
    State(console): State<Arc<Console>>,
    Anybody(visit): Anybody,
    fields: Fields,
) -> Result<Response, Fault> {
    let registry = &console.registry;
    let login = fields.get("login");
    let again = |status, error| {
        visit.page_with(
            status,
            &SignInPage {
                visit: &visit,
                next: fields.get("next"),
                login,
                error,
                notice: false,
                passkey: passkey_asked(&visit),
                demo: logins(&console),
            },
        )
    };
    let who = visit.who(login);
    let person = match check(&visit, &who, login, fields.get("password")).await? {
        Checked::Right(person) => person,
        Checked::Wrong => {
            audit::sign_in_failed(&visit, login).await?;
            let error = visit.t("sign_in.wrong").to_owned();
            return again(StatusCode::FORBIDDEN, error);
        }
        Checked::Refused(text, wait) => {
            // Not noted: it costs nothing to try, so anybody could fill the disk.
            let shown = match text {
                "sign_in.blocked" => (wait + 59) / 60,
                _ => wait,
            };
            let error = visit.language.fill(text, &[&shown.to_string()]);
            let mut response = again(StatusCode::TOO_MANY_REQUESTS, error)?;
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait));
            return Ok(response);
        }
    };
    let (stage, path) = if people::has_authenticator(registry, person.id)? {
        (Stage::Code, "/console/sign-in/code")
    } else {
        (Stage::Enrol, "/console/sign-in/enrol")
    };
    let next = form_escaped(fields.get("next"));
    proceed(&console, &person, stage, &format!("{path}?next={next}"))
}

/// What a device is asked, where browsers make passkeys: challenge and host.
fn passkey_asked(visit: &Visit) -> Option<(String, String)> {
    let asked = Asked::by(visit)?;
    Some((asked.challenge(Purpose::SignIn), asked.party.id.clone()))
}

/// Checks what a device says: it has asked for more than a password, so nothing else is asked.
pub(super) async fn passkey(
    State(console): State<Arc<Console>>,
    Anybody(visit): Anybody,
    fields: Fields,
) -> Result<Response, Fault> {
    let asked = Asked::by(&visit).ok_or(Fault::NotFound)?;
    let answer = super::account::answer(&fields);
    match passkey::sign_in(&console.registry, &asked, answer)? {
        SignIn::Right(person) => finish(&console, &visit, &person, fields.get("next")).await,
        SignIn::Wrong(person) => {
            // One that nobody has is not noted, since anybody can make it up.
            if let Some(person) = person {
                audit::sign_in_failed(&visit, &person.login).await?;
            }
            let page = SignInPage {
                visit: &visit,
                next: fields.get("next"),
                login: "",
                error: visit.t("sign_in.wrong_passkey").to_owned(),
                notice: false,
                passkey: passkey_asked(&visit),
                demo: logins(&console),
            };
            visit.page_with(StatusCode::FORBIDDEN, &page)
        }
    }
}

/// True if a password is the person's, who is signed in; wrong ones count as they do at the sign-in.
pub(super) async fn is_password(
    visit: &Visit,
    person: &Person,
    password: &str,
) -> Result<bool, Fault> {
    let mut who = visit.who(&person.login);
    who.is_known = true;
    let checked = check(visit, &who, &person.login, password).await?;
    Ok(matches!(checked, Checked::Right(_)))
}

/// What is wrong with a password that somebody chose, as a text of the catalogue.
pub(super) fn unfit(password: &str, again: &str) -> Option<&'static str> {
    if password.chars().count() < PASSWORD_LENGTH {
        Some("enrol.short")
    } else if password != again {
        Some("enrol.differs")
    } else {
        None
    }
}

/// Gives a person, who is signed in, the password that the person chose.
pub(super) async fn set_password(
    visit: &Visit,
    person: &Person,
    password: &str,
) -> Result<(), Fault> {
    let (person, password, token) = (person.id, password.to_owned(), visit.token.clone());
    checking(&visit.console, true, move |console| {
        people::set_password(&console.registry, person, &password, &token)
    })
    .await
}

/// Checks a password, if there were not too many tries. The try is counted first.
async fn check(visit: &Visit, who: &Who, login: &str, password: &str) -> Result<Checked, Fault> {
    let console = &visit.console;
    let (registry, tries, now) = (&console.registry, &console.tries, console.now());
    tries.sweep(registry, now)?;
    // An address may be that of many, of whom those whose browser is known are not to wait.
    if !who.is_known
        && let Err(wait) = tries.take(&visit.address, now)
    {
        return Ok(Checked::Refused("sign_in.crowded", wait));
    }
    if let Err(wait) = tries::begin(registry, who, now)? {
        return Ok(Checked::Refused("sign_in.blocked", wait));
    }
    let (login, password) = (login.to_owned(), password.to_owned());
    let checked = checking(console, who.is_known, move |console| {
        people::by_password(&console.registry, &login, &password)
    });
    let checked = checked.await;
    if let Ok(None) = checked {
        return Ok(Checked::Wrong);
    }
    tries::give_back(registry, who)?;
    if !who.is_known {
        tries.give_back(&visit.address);
    }
    Ok(checked?.map_or(Checked::Wrong, Checked::Right))
}

/// Does what takes the processor for a while, a few at a time. Whom we know does not wait for others.
async fn checking<T: Send + 'static, E: Into<Fault> + Send + 'static>(
    console: &Arc<Console>,
    is_known: bool,
    work: impl FnOnce(&Console) -> Result<T, E> + Send + 'static,
) -> Result<T, Fault> {
    let room = match is_known {
        true => &console.known_checks,
        false => &console.checks,
    };
    let permit = timeout(QUEUE, room.acquire()).await;
    let permit = permit.map_err(|_| Fault::Busy)?;
    let _permit = permit.map_err(|_| Fault::Busy)?;
    let console = Arc::clone(console);
    let done = spawn_blocking(move || work(&console)).await;
    let done = done.map_err(|error| Fault::Failed(error.to_string()))?;
    done.map_err(Into::into)
}

/// Goes on with a new token: whoever knew the one before knows nothing of what follows.
fn proceed(
    console: &Console,
    person: &Person,
    stage: Stage,
    path: &str,
) -> Result<Response, Fault> {
    let new_secret = || people::sealed(&console.sealer, person.id, &people::new_secret());
    let secret = (stage == Stage::Enrol).then(new_secret);
    let (registry, now) = (&console.registry, console.now());
    let token = session::start(registry, person.id, stage, secret, now)?;
    let mut response = go(path);
    set_cookie(&mut response, token.cookie(console.secure));
    Ok(response)
}

/// The session, if it is at a stage of the sign-in.
fn at(visit: &Visit, stage: Stage) -> Result<&Session, Fault> {
    let session = visit.session.as_ref();
    session
        .filter(|session| session.stage == stage)
        .ok_or(Fault::SignIn)
}

/// The secret that somebody who enrols is offered, open and sealed. Where the vault's key was
/// changed in between, it begins anew.
fn offered(visit: &Visit, session: &Session) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let sealed = session.secret.clone().ok_or(Fault::SignIn)?;
    let secret = people::unsealed(&visit.console.sealer, session.person.id, &sealed);
    Ok((secret.ok_or(Fault::SignIn)?, sealed))
}

/// Shows the form for the code.
pub(super) async fn ask_code(
    Anybody(visit): Anybody,
    Query(next): Query<Next>,
) -> Result<Response, Fault> {
    let person = &at(&visit, Stage::Code)?.person;
    visit.page(&CodePage {
        visit: &visit,
        next: &next.next,
        error: "",
        demo: demo_code(&visit, person)?,
    })
}

/// In a demo: names that can sign in.
fn logins(console: &Console) -> Vec<String> {
    let parties = console.desks.values().filter(|_| console.demo);
    let parties = parties.flat_map(|desk| {
        desk.look(|book| {
            let agreement = book.latest().map(|version| &version.agreement);
            let parties = agreement
                .into_iter()
                .flat_map(|agreement| agreement.parties());
            parties
                .map(|(_, party)| party.id.clone())
                .collect::<Vec<_>>()
        })
    });
    // A party of several books stands once.
    parties
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// In a demo: what the person's authenticator shows.
fn demo_code(visit: &Visit, person: &Person) -> Result<Option<String>, Fault> {
    let console = &visit.console;
    let code = match console.demo {
        true => people::code(&console.registry, &console.sealer, person.id, console.now())?,
        false => None,
    };
    Ok(code.map(|code| visit.language.fill("sign_in.demo_code", &[&code])))
}

/// Checks the code.
pub(super) async fn code(
    State(console): State<Arc<Console>>,
    Anybody(visit): Anybody,
    fields: Fields,
) -> Result<Response, Fault> {
    let (registry, now) = (&console.registry, console.now());
    let person = &at(&visit, Stage::Code)?.person;
    if tries::begin(registry, &visit.who(&person.login), now)?.is_err() {
        session::end(registry, &visit.token)?;
        return Err(Fault::SignIn);
    }
    if !people::use_code(
        registry,
        &console.sealer,
        person.id,
        fields.get("code"),
        now,
    )? {
        audit::sign_in_failed(&visit, &person.login).await?;
        let page = CodePage {
            visit: &visit,
            next: fields.get("next"),
            error: "sign_in.wrong_code",
            demo: demo_code(&visit, person)?,
        };
        return visit.page_with(StatusCode::FORBIDDEN, &page);
    }
    finish(&console, &visit, person, fields.get("next")).await
}

async fn finish(
    console: &Console,
    visit: &Visit,
    person: &Person,
    next: &str,
) -> Result<Response, Fault> {
    audit::signed_in(visit, person).await?;
    session::end(&console.registry, &visit.token)?;
    tries::forget(&console.registry, &visit.who(&person.login))?;
    let mut response = proceed(console, person, Stage::Full, own_path(next))?;
    let mark = tries::mark(
        &console.sealer,
        &person.login,
        console.secure,
        console.now(),
    );
    set_cookie(&mut response, mark);
    Ok(response)
}

/// Shows the form for a first sign-in.
pub(super) async fn ask_enrolment(
    Anybody(visit): Anybody,
    Query(next): Query<Next>,
) -> Result<Response, Fault> {
    enrolment(&visit, StatusCode::OK, &next.next, "")
}

fn enrolment(
    visit: &Visit,
    status: StatusCode,
    next: &str,
    error: &'static str,
) -> Result<Response, Fault> {
    let session = at(visit, Stage::Enrol)?;
    let (secret, _) = offered(visit, session)?;
    let (url, typed) = people::enrolment(&secret, &session.person.login);
    let code = QrCode::encode_text(&url, QrCodeEcc::Medium);
    let code = code.map_err(|error| Fault::Failed(error.to_string()))?;
    let groups: Vec<_> = typed
        .as_bytes()
        .chunks(4)
        .map(String::from_utf8_lossy)
        .collect();
    let page = EnrolPage {
        visit,
        next,
        secret: groups.join(" "),
        side: code.size() + 8,
        picture: picture(&code),
        url,
        length: PASSWORD_LENGTH.to_string(),
        error,
    };
    visit.page_with(status, &page)
}

/// The dark squares of a code as a path, with the quiet zone that readers need.
fn picture(code: &QrCode) -> String {
    let places = (0..code.size()).flat_map(|y| (0..code.size()).map(move |x| (x, y)));
    let dark = places.filter(|&(x, y)| code.get_module(x, y));
    dark.map(|(x, y)| format!("M{} {}h1v1h-1z", x + 4, y + 4))
        .collect()
}

/// Checks what is asked at a first sign-in.
pub(super) async fn enrol(
    State(console): State<Arc<Console>>,
    Anybody(visit): Anybody,
    fields: Fields,
) -> Result<Response, Fault> {
    let session = at(&visit, Stage::Enrol)?;
    let next = fields.get("next");
    let again = |error| enrolment(&visit, StatusCode::UNPROCESSABLE_ENTITY, next, error);
    let password = fields.get("password").to_owned();
    if let Some(wrong) = unfit(&password, fields.get("again")) {
        return again(wrong);
    }
    let (secret, sealed) = offered(&visit, session)?;
    if people::check(&secret, fields.get("code"), console.now()).is_none() {
        return again("sign_in.wrong_code");
    }
    let person = session.person.clone();
    let id = person.id;
    let enrolled = checking(&console, true, move |console| {
        people::enrol(&console.registry, id, &password, &sealed).map_err(|error| match error {
            PersonError::Registry(error) => error.into(),
            error => Fault::Failed(error.to_string()),
        })
    });
    enrolled.await?;
    finish(&console, &visit, &person, next).await
}

/// Signs out.
pub(super) async fn out(
    State(console): State<Arc<Console>>,
    Anybody(visit): Anybody,
    _: Fields,
) -> Result<Response, Fault> {
    session::end(&console.registry, &visit.token)?;
    let mut response = go("/console/sign-in");
    set_cookie(&mut response, Token::new().cookie(console.secure));
    Ok(response)
}
