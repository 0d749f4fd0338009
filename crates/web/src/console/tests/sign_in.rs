//! Signing in and out.

use futures_util::future::join_all;

use super::*;
use crate::registry::values;
use crate::seal::seal_anew;

#[tokio::test]
async fn somebody_signs_in_and_out() {
    let mut browser = Browser::new(false);
    browser.person(true);
    let page = browser.get("/console/sign-in").await;
    page.says("<h1>Sign in</h1>");
    browser.sign_in().await;
    let token = browser.cookies.clone();
    assert_eq!(browser.get("/console/sign-in").await.location, "/console");
    let form = browser.get("/console/elsewhere").await.hidden("form");
    let page = browser.post("/console/sign-out", &form, &[]).await;
    assert_eq!(page.location, "/console/sign-in");
    assert_ne!(browser.cookies, token);
    // The token that was left is worth nothing.
    browser.cookies = token;
    browser
        .get("/console/sign-in")
        .await
        .says("<h1>Sign in</h1>");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_are_answered_alike() {
    let mut browser = Browser::new(false);
    browser.person(true);
    let wrong = browser.password("something else").await;
    assert_eq!(wrong.status, StatusCode::FORBIDDEN);
    wrong.says("Name or password is wrong. Please try again.");
    let fields = [("login", "nobody"), ("password", PASSWORD)];
    let unknown = browser
        .fill("/console/sign-in", "/console/sign-in", &fields)
        .await;
    let same = wrong.body.replace("li.wei@river.example", "nobody");
    // What devices are asked is new each time.
    let same = same.replace(&challenge(&wrong.body), &challenge(&unknown.body));
    assert_eq!((unknown.status, unknown.body), (wrong.status, same));
}

/// What a page asks a device.
pub(super) fn challenge(body: &str) -> String {
    let rest = body.split("data-challenge=\"").nth(1).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_code_counts_once_and_only_in_its_time() {
    let mut browser = Browser::new(false);
    browser.person(true);
    browser.password(PASSWORD).await;
    let page = browser.enter_code("000000").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    page.says("The code is wrong or was used before. Wait for the next one and enter it.");
    let old = browser.code();
    browser.pass(120);
    browser
        .enter_code(&old)
        .await
        .says("The code is wrong or was used before");
    let code = browser.code();
    assert_eq!(
        browser.enter_code(&code).await.location,
        "/console/loans?class=m1"
    );
    browser.password(PASSWORD).await;
    browser.cookies.clear();
    browser.password(PASSWORD).await;
    browser
        .enter_code(&code)
        .await
        .says("The code is wrong or was used before");
    browser.pass(30);
    browser.sign_in().await;
}

#[tokio::test]
async fn failures_make_one_wait_whether_the_name_is_known_or_not() {
    for login in ["li.wei@river.example", "nobody"] {
        let mut browser = Browser::new(false);
        browser.person(true);
        for _ in 0..5 {
            let fields = [("login", login), ("password", "guess")];
            let page = browser
                .fill("/console/sign-in", "/console/sign-in", &fields)
                .await;
            assert_eq!(page.status, StatusCode::FORBIDDEN);
        }
        let fields = [("login", login), ("password", PASSWORD)];
        let page = browser
            .fill("/console/sign-in", "/console/sign-in", &fields)
            .await;
        assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(page.headers[header::RETRY_AFTER], "15");
        page.says("Too many failed attempts with this name. Try again in 1 min, or ask your administrator.");
        browser.pass(15);
        let page = browser
            .fill("/console/sign-in", "/console/sign-in", &fields)
            .await;
        assert_ne!(page.status, StatusCode::TOO_MANY_REQUESTS);
    }
}

#[tokio::test]
async fn wrong_codes_make_one_wait_too() {
    let mut browser = Browser::new(false);
    browser.person(true);
    browser.password(PASSWORD).await;
    for _ in 0..5 {
        browser.enter_code("000000").await;
    }
    let code = browser.code();
    let page = browser.enter_code(&code).await;
    assert!(
        page.location.starts_with("/console/sign-in?next="),
        "{}",
        page.location
    );
    let page = browser.password(PASSWORD).await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_session_ends_after_twelve_hours() {
    let mut browser = Browser::new(false);
    browser.person(true);
    browser.sign_in().await;
    for _ in 0..29 {
        browser.pass(24 * 60);
        assert_eq!(browser.get("/console/sign-in").await.location, "/console");
    }
    browser.pass(24 * 60 - 1);
    assert_eq!(browser.get("/console/sign-in").await.location, "/console");
    browser.pass(1);
    let page = browser.get("/console/sign-in?next=/console/loans").await;
    page.says(
        "Please sign in to go on. A session ends after twelve hours, or half an hour without use.",
    );
    assert_eq!(page.hidden("next"), "/console/loans");
}

#[tokio::test]
async fn a_session_ends_after_half_an_hour_without_use() {
    let mut browser = Browser::new(false);
    browser.person(true);
    browser.sign_in().await;
    browser.pass(30 * 60 - 1);
    assert_eq!(browser.get("/console/sign-in").await.location, "/console");
    // A page that follows the book by itself is no use.
    browser.follows = true;
    browser.pass(30 * 60 - 1);
    assert_eq!(browser.get("/console/sign-in").await.location, "/console");
    browser.pass(1);
    browser
        .get("/console/sign-in")
        .await
        .says("<h1>Sign in</h1>");
}

#[tokio::test]
async fn somebody_changes_the_own_password() {
    let book = super::book::Book::open().await;
    let console = super::pages::console(&book).await;
    let mut river = console.signed_in("river", "river", &[Role::Viewer]).await;
    let elsewhere = river.cookies.clone();
    let now = river.time.load(Ordering::Relaxed);
    let person = people::by_login(&console.registry, "river").unwrap();
    let person = person.unwrap().id;
    let token = session::start(&console.registry, person, session::Stage::Full, None, now);
    let cookie = token.unwrap().cookie(false).to_str().unwrap().to_owned();
    let value = cookie.split(['=', ';']).nth(1).unwrap().to_owned();
    river.cookies = vec![("tandem".to_owned(), value)];
    let (page, path) = ("/console/account", "/console/account/password");
    let new = "a password of my own";
    for (now, new, again, error) in [
        (
            PASSWORD,
            "short",
            "short",
            "The password has less than twelve characters. Choose a longer one.",
        ),
        (
            PASSWORD,
            new,
            "another one, longer",
            "The two passwords differ. Enter the same one twice.",
        ),
        (
            "a guess",
            new,
            new,
            "The password is wrong, or was wrong too often. Nothing was changed.",
        ),
    ] {
        let fields = [("password", now), ("new_password", new), ("again", again)];
        let answer = river.fill(page, path, &fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        answer.says(error);
    }
    let fields = [
        ("password", PASSWORD),
        ("new_password", new),
        ("again", new),
    ];
    let answer = river.fill(page, path, &fields).await;
    assert_eq!(answer.location, page, "{}", answer.body);
    let right = |password| people::by_password(&console.registry, "river", password).unwrap();
    assert!(right(PASSWORD).is_none() && right(new).is_some());
    // Whoever is signed in elsewhere is not any more, and no password is in the audit log.
    river.get(page).await.says("Change password");
    river.cookies = elsewhere;
    assert!(
        river
            .get(page)
            .await
            .location
            .starts_with("/console/sign-in")
    );
    let noted = console.entries.with(|connection| {
        let text = "select count(*) from audit where instr(entry, ?1)";
        connection.query_row(text, [new], |row| row.get::<_, i64>(0))
    });
    assert_eq!(noted.unwrap(), 0);
}

#[tokio::test]
async fn a_demo_is_shown_to_this_machine_only() {
    let mut browser = Browser::before(registry(&crate::schemas()), BTreeMap::new(), false, true);
    for (host, is_shown) in [
        ("localhost:8080", true),
        ("127.0.0.1:8080", true),
        ("[::1]:8080", true),
        ("lending.example", true),
        ("evil.example:8080", false),
        ("localhost.evil.example", false),
        ("192.0.2.1", false),
    ] {
        browser.host = host.to_owned();
        let page = browser.get("/console/sign-in").await;
        if is_shown {
            page.says("<h1>Sign in</h1>");
            continue;
        }
        assert_eq!(page.status, StatusCode::MISDIRECTED_REQUEST);
        page.says("This demo is for this machine only");
        page.says(
            "Its pages say how to sign in, so it answers to localhost only. Open it by that name.",
        );
    }
}

#[tokio::test]
async fn a_form_from_elsewhere_does_nothing() {
    let mut browser = Browser::new(false);
    browser.person(true);
    browser.get("/console/sign-in").await;
    let fields = [("login", "li.wei@river.example"), ("password", PASSWORD)];
    let page = browser.post("/console/sign-in", "", &fields).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    page.says("This form is out of date");
    page.says("Nothing was done; go back, reload the page and send it again.");
    let before = browser.get("/console/sign-in").await.hidden("form");
    browser.sign_in().await;
    let page = browser.post("/console/sign-out", &before, &[]).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.get("/console/sign-in").await.location, "/console");
}

#[tokio::test]
async fn a_form_that_is_none_does_nothing() {
    let mut browser = Browser::new(false);
    let page = browser
        .send(Method::POST, "/console/preferences", "a".repeat(300_000))
        .await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    page.says("The form cannot be read");
    page.says("It is not a form, or has more than 256 KiB as it is sent. Nothing was done.");
}

#[tokio::test]
async fn somebody_new_chooses_a_password_and_enrols_an_authenticator() {
    let mut browser = Browser::new(false);
    browser.person(false);
    let page = browser.password(PASSWORD).await;
    assert_eq!(page.location, "/console/sign-in/enrol?next=");
    let path = "/console/sign-in/enrol";
    let page = browser.get(path).await;
    page.says("otpauth://totp/Tandem:li.wei%40river.example?secret=");
    let typed = page
        .body
        .split("<code>")
        .nth(1)
        .unwrap()
        .split('<')
        .next()
        .unwrap();
    let secret = totp_rs::Secret::try_from_base32(typed.replace(' ', "")).unwrap();
    let now = browser.time.load(Ordering::Relaxed);
    let right = code(secret.as_bytes(), now);
    let new = "a password of my own";
    for (code, password, again, error) in [
        (
            right.as_str(),
            "short",
            "short",
            "The password has less than twelve characters. Choose a longer one.",
        ),
        (
            &right,
            new,
            "another password",
            "The two passwords differ. Enter the same one twice.",
        ),
        ("000000", new, new, "The code is wrong or was used before."),
    ] {
        let fields = [("code", code), ("password", password), ("again", again)];
        let page = browser.fill(path, path, &fields).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        page.says(error);
    }
    let fields = [("code", right.as_str()), ("password", new), ("again", new)];
    let page = browser.fill(path, path, &fields).await;
    assert_eq!(page.location, "/console");
    browser.cookies.clear();
    browser
        .password(PASSWORD)
        .await
        .says("Name or password is wrong");
    let page = browser.password(new).await;
    assert_eq!(page.location, "/console/sign-in/code?next=");
}

#[tokio::test]
async fn a_stage_of_the_sign_in_is_not_a_session() {
    let mut browser = Browser::new(false);
    browser.person(true);
    for path in ["/console/sign-in/code", "/console/sign-in/enrol"] {
        let page = browser.get(path).await;
        assert_eq!(page.location, format!("/console/sign-in?next={path}"));
    }
    browser.password(PASSWORD).await;
    browser
        .get("/console/sign-in")
        .await
        .says("<h1>Sign in</h1>");
    let page = browser.get("/console/sign-in/enrol").await;
    assert_eq!(
        page.location,
        "/console/sign-in?next=/console/sign-in/enrol"
    );
}

#[tokio::test]
async fn only_pages_of_the_console_follow_a_sign_in() {
    for (next, expected) in [
        ("/console/loans?class=m1", "/console/loans?class=m1"),
        ("//evil.example", "/console"),
        ("https://evil.example/console/", "/console"),
        ("/console/\\evil", "/console"),
        ("/consoles", "/console"),
    ] {
        assert_eq!(page::own_path(next), expected);
    }
}

#[tokio::test]
async fn a_page_is_in_the_reader_s_language_and_looks() {
    let mut browser = Browser::new(false);
    let page = browser.get("/console/nowhere").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    page.says("There is nothing here");
    page.says("The page does not exist, or it is not for your institution.");
    let form = page.hidden("form");
    let fields = [
        ("language", "zh"),
        ("theme", "dark"),
        ("back", "/console/nowhere"),
    ];
    let page = browser.post("/console/preferences", &form, &fields).await;
    assert_eq!(page.location, "/console/nowhere");
    let page = browser.get("/console/nowhere").await;
    page.says("<html lang=\"zh\" data-theme=\"dark\">");
    page.says("此处没有内容");
}

#[tokio::test]
async fn pages_are_protected_and_files_are_kept() {
    for secure in [false, true] {
        let mut browser = Browser::new(secure);
        let page = browser.get("/console/sign-in").await;
        let policy = page.headers[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
        assert!(!page.body.contains("<style") && !page.body.contains(" style="));
        let cookie = page.headers[header::SET_COOKIE].to_str().unwrap();
        assert!(cookie.contains("HttpOnly; SameSite=Lax"));
        assert_eq!(cookie.starts_with("__Host-tandem="), secure);
        assert_eq!(cookie.ends_with("; Secure"), secure);
        assert_eq!(
            page.headers.contains_key(header::STRICT_TRANSPORT_SECURITY),
            secure
        );
        let style = browser.get(&crate::assets::ASSETS.style.path).await;
        assert_eq!(
            style.headers[header::CONTENT_TYPE],
            "text/css; charset=utf-8"
        );
        assert!(
            style.headers[header::CACHE_CONTROL]
                .to_str()
                .unwrap()
                .contains("immutable")
        );
        let other = browser.get("/console/static/console-0.css").await;
        assert_eq!(other.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn authenticators_are_sealed_and_go_on_under_a_new_key() {
    let browser = Browser::new(false);
    let person = browser.person(true);
    let (registry, now) = (&browser.registry, browser.time.load(Ordering::Relaxed));
    let kept: Vec<u8> = registry
        .read(|tables| tables.value("select totp from person", values![]))
        .unwrap();
    assert!(!kept.windows(SECRET.len()).any(|window| window == SECRET));
    let new = Sealer::new(&[2; 32]);
    registry
        .change(|tables| seal_anew(tables, &sealer(), &new, &[people::AUTHENTICATORS]))
        .unwrap();
    let code = |sealer| people::code(registry, sealer, person, now).unwrap();
    assert_eq!(code(&new), Some(browser.code()));
    assert_eq!(code(&sealer()), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_are_checked_than_may_fail_however_many_come_at_once() {
    let browser = Browser::new(false);
    browser.person(true);
    let mut tries = Vec::new();
    for _ in 0..40 {
        let mut guest = browser.another();
        tries.push(async move { guest.password("a guess").await.status });
    }
    let tries = tries.into_iter().map(tokio::spawn);
    let statuses = join_all(tries).await;
    let checked = statuses
        .into_iter()
        .filter(|status| *status.as_ref().unwrap() == StatusCode::FORBIDDEN);
    assert_eq!(checked.count(), 5);
    // A code is guessed no more often either.
    let browser = Browser::new(false);
    browser.person(true);
    let mut guest = browser.another();
    guest.password(PASSWORD).await;
    let form = guest.get("/console/sign-in/code").await.hidden("form");
    let tries = (0..40).map(|guess| {
        let mut one = browser.another();
        one.cookies = guest.cookies.clone();
        let form = form.clone();
        tokio::spawn(async move {
            let guess = format!("{guess:06}");
            let fields = [("code", guess.as_str())];
            one.post("/console/sign-in/code", &form, &fields)
                .await
                .status
        })
    });
    let statuses = join_all(tries.collect::<Vec<_>>()).await;
    let checked = statuses
        .into_iter()
        .filter(|status| *status.as_ref().unwrap() == StatusCode::FORBIDDEN);
    assert_eq!(checked.count(), 5);
}

#[tokio::test]
async fn an_address_that_guesses_waits_and_a_browser_that_signed_in_before_does_not() {
    let console = Browser::new(false);
    console.person(true);
    let mut known = console.another();
    known.sign_in().await;
    console.pass(30);
    let form = known.get("/console").await.hidden("form");
    known.post("/console/sign-out", &form, &[]).await;
    let guess = async |login: &str, language: &str| {
        let mut guest = console.another();
        guest.cookies = vec![("language".to_owned(), language.to_owned())];
        let fields = [("login", login), ("password", "a guess")];
        let path = "/console/sign-in";
        guest.fill(path, path, &fields).await
    };
    // The name is locked for others, and then the address has no more tries.
    for _ in 0..5 {
        let page = guess("li.wei@river.example", "en").await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
    }
    guess("li.wei@river.example", "en")
        .await
        .says("Too many failed attempts with this name. Try again in 1 min");
    for number in 0..4 {
        let page = guess(&format!("made up {number}"), "en").await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
    }
    let page = guess("one more", "en").await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(page.headers[header::RETRY_AFTER], "6");
    page.says("Too many failed attempts from your network. Try again in 6 s.");
    guess("one more", "zh")
        .await
        .says("您所在网络的登录失败次数过多。请在 6 秒后重试。");
    // Neither concerns the owner's browser, which has a count of its own.
    known.sign_in().await;
    console.pass(30);
    let form = known.get("/console").await.hidden("form");
    known.post("/console/sign-out", &form, &[]).await;
    for _ in 0..5 {
        let page = known.password("a guess").await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
    }
    let page = known.password(PASSWORD).await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
}
