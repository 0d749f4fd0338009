//! Passkeys, with a device made of the same library that checks it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

use super::sign_in::challenge;
use super::*;

const ORIGIN: &str = "https://lending.example";
const ACCOUNT: &str = "/console/account";
const SIGN_IN: &str = "/console/sign-in";
const PASSKEY: &str = "/console/sign-in/passkey";

enum Signs {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

/// A device with one key. What it says can be made wrong, one thing at a time.
struct Device {
    id: Vec<u8>,
    signs: Signs,
    counter: u32,
    origin: String,
    party: String,
    flags: u8,
    kind: Option<&'static str>,
}

impl Device {
    fn new() -> Device {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        Device {
            id: b"a device's key".to_vec(),
            signs: Signs::Es256(key),
            counter: 1,
            origin: ORIGIN.to_owned(),
            party: "lending.example".to_owned(),
            flags: 0b101,
            kind: None,
        }
    }

    fn ed25519() -> Device {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        Device {
            signs: Signs::EdDsa(key),
            ..Device::new()
        }
    }

    /// Its public key as COSE.
    fn key(&self) -> Vec<u8> {
        let mut encoder = minicbor::Encoder::new(Vec::new());
        match &self.signs {
            Signs::Es256(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = (&point[1..33], &point[33..]);
                encoder.map(5).unwrap();
                for (name, value) in [(1, 2), (3, -7), (-1, 1)] {
                    encoder.i32(name).unwrap().i32(value).unwrap();
                }
                encoder.i32(-2).unwrap().bytes(x).unwrap();
                encoder.i32(-3).unwrap().bytes(y).unwrap();
            }
            Signs::EdDsa(key) => {
                encoder.map(4).unwrap();
                for (name, value) in [(1, 1), (3, -8), (-1, 6)] {
                    encoder.i32(name).unwrap().i32(value).unwrap();
                }
                encoder
                    .i32(-2)
                    .unwrap()
                    .bytes(key.public_key().as_ref())
                    .unwrap();
            }
        }
        encoder.into_writer()
    }

    fn says(&self, new: bool) -> Vec<u8> {
        let mut said = digest(&SHA256, self.party.as_bytes()).as_ref().to_vec();
        said.push(self.flags | if new { 0b100_0000 } else { 0 });
        said.extend(self.counter.to_be_bytes());
        if new {
            said.extend([0; 16]);
            said.extend((self.id.len() as u16).to_be_bytes());
            said.extend(&self.id);
            said.extend(self.key());
        }
        said
    }

    /// Fields of a form, for the challenge of a page.
    fn answer(&mut self, page: &Page, new: bool) -> Vec<(&'static str, String)> {
        let challenge = challenge(&page.body);
        let usual = if new {
            "webauthn.create"
        } else {
            "webauthn.get"
        };
        let client = serde_json::json!({
            "type": self.kind.unwrap_or(usual),
            "challenge": challenge,
            "origin": self.origin,
            "crossOrigin": false,
        });
        let client = client.to_string();
        let said = self.says(new);
        let hash = digest(&SHA256, client.as_bytes());
        let message = [said.as_slice(), hash.as_ref()].concat();
        let signature = match &self.signs {
            _ if new => Vec::new(),
            Signs::Es256(key) => key
                .sign(&SystemRandom::new(), &message)
                .unwrap()
                .as_ref()
                .to_vec(),
            Signs::EdDsa(key) => key.sign(&message).as_ref().to_vec(),
        };
        self.counter += 1;
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        vec![
            ("form", page.hidden("form")),
            ("credential", text(&self.id)),
            ("client", text(client.as_bytes())),
            ("authenticator", text(&said)),
            ("signature", text(&signature)),
            ("name", "Phone".to_owned()),
        ]
    }
}

async fn send(browser: &mut Browser, path: &str, fields: &[(&str, String)]) -> Page {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let form = fields[0].1.to_owned();
    browser.post(path, &form, &fields[1..]).await
}

async fn register(browser: &mut Browser, device: &mut Device) -> Page {
    let page = browser.get(ACCOUNT).await;
    let fields = device.answer(&page, true);
    send(browser, ACCOUNT, &fields).await
}

async fn sign_in(browser: &mut Browser, device: &mut Device) -> Page {
    let page = browser.get(SIGN_IN).await;
    let fields = device.answer(&page, false);
    send(browser, PASSKEY, &fields).await
}

async fn party() -> (super::book::Book, Browser, Browser) {
    let book = super::book::Book::open().await;
    let console = super::pages::console(&book).await;
    let river = console.signed_in("river", "river", &[Role::Viewer]).await;
    (book, console, river)
}

#[tokio::test]
async fn somebody_adds_a_passkey_signs_in_with_it_and_removes_it() {
    for mut device in [Device::new(), Device::ed25519()] {
        let (_book, console, mut river) = party().await;
        river.get(ACCOUNT).await.says("You have no passkey yet.");
        assert_eq!(register(&mut river, &mut device).await.location, ACCOUNT);
        river.get(ACCOUNT).await.says("Phone");
        // The same key again is not added.
        let page = register(&mut river, &mut device).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        page.says("The passkey was not added");
        let mut guest = console.another();
        let page = sign_in(&mut guest, &mut device).await;
        assert_eq!(
            (page.status, page.location.as_str()),
            (StatusCode::SEE_OTHER, "/console")
        );
        guest.get(ACCOUNT).await.says("2023-11-14 22:13:20");
        let page = guest.get(ACCOUNT).await;
        let fields = [("passkey", page.hidden("passkey"))];
        let fields = [("form", page.hidden("form"))]
            .into_iter()
            .chain(fields)
            .collect::<Vec<_>>();
        send(&mut guest, "/console/account/remove", &fields).await;
        guest.get(ACCOUNT).await.says("You have no passkey yet.");
        let page = sign_in(&mut console.another(), &mut device).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
        page.says("This passkey is not known here");
    }
}

#[tokio::test]
async fn what_a_device_did_not_say_for_us_now_and_with_somebody_there_is_refused() {
    let (_book, console, mut river) = party().await;
    let wrong: [fn(&mut Device); 7] = [
        |device| device.origin = "https://lending.example.evil".to_owned(),
        |device| device.party = "evil.example".to_owned(),
        // Nobody was verified; nobody was there.
        |device| device.flags = 0b001,
        |device| device.flags = 0b100,
        |device| device.kind = Some("webauthn.other"),
        // A copy that is behind.
        |device| device.counter = 1,
        // Another key under the same id.
        |device| device.signs = Device::new().signs,
    ];
    let mut own = Device::new();
    assert_eq!(register(&mut river, &mut own).await.location, ACCOUNT);
    for (at, spoil) in wrong.iter().enumerate() {
        let mut guest = console.another();
        let mut device = Device {
            id: own.id.clone(),
            ..Device::new()
        };
        std::mem::swap(&mut device.signs, &mut own.signs);
        device.counter = 10;
        let counter = device.counter;
        spoil(&mut device);
        let page = sign_in(&mut guest, &mut device).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{at}");
        page.says("This passkey is not known here");
        assert!(
            guest.get("/console").await.location.starts_with(SIGN_IN),
            "{at}"
        );
        if at < 5 {
            // The same, sent for a new key.
            let mut new = Device {
                id: vec![at as u8],
                ..Device::new()
            };
            spoil(&mut new);
            let page = register(&mut river, &mut new).await;
            assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{at}");
        }
        std::mem::swap(&mut device.signs, &mut own.signs);
        assert_eq!(counter, 10);
    }
}

#[tokio::test]
async fn a_challenge_is_for_one_browser_once_and_for_ten_minutes() {
    let (_book, console, mut river) = party().await;
    let mut device = Device::new();
    register(&mut river, &mut device).await;
    let mut guest = console.another();
    let page = guest.get(SIGN_IN).await;
    let late = device.answer(&page, false);
    // Another browser's, also with its own form's code.
    let mut other = console.another();
    let mut stolen = late.clone();
    stolen[0].1 = other.get(SIGN_IN).await.hidden("form");
    assert_eq!(
        send(&mut other, PASSKEY, &stolen).await.status,
        StatusCode::FORBIDDEN
    );
    // One for a new key.
    let page = river.get(ACCOUNT).await;
    let mut crossed = device.answer(&page, false);
    crossed[0].1 = page.hidden("form");
    assert_eq!(
        send(&mut river, PASSKEY, &crossed).await.status,
        StatusCode::FORBIDDEN
    );
    guest.pass(10 * 60);
    assert_eq!(
        send(&mut guest, PASSKEY, &late).await.status,
        StatusCode::FORBIDDEN
    );
    // Once.
    let page = guest.get(SIGN_IN).await;
    let right = device.answer(&page, false);
    let cookies = guest.cookies.clone();
    assert_eq!(send(&mut guest, PASSKEY, &right).await.location, "/console");
    guest.cookies = cookies;
    assert_eq!(
        send(&mut guest, PASSKEY, &right).await.status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn who_may_not_sign_in_or_lost_the_device_cannot_with_a_passkey() {
    let (_book, console, mut river) = party().await;
    let mut device = Device::new();
    register(&mut river, &mut device).await;
    let mut admin = console.signed_in("admin", "river", &[Role::Admin]).await;
    let person = "/console/people/1";
    admin.fill(person, person, &[]).await;
    let page = sign_in(&mut console.another(), &mut device).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    admin.fill(person, person, &[("active", "1")]).await;
    let page = sign_in(&mut console.another(), &mut device).await;
    assert_eq!(page.location, "/console");
    admin.fill(person, "/console/people/1/reset", &[]).await;
    let page = sign_in(&mut console.another(), &mut device).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn nobody_removes_another_s_passkey_or_adds_too_many() {
    let (_book, console, mut river) = party().await;
    let mut other = console.signed_in("other", "river", &[Role::Admin]).await;
    for at in 0..10 {
        let mut device = Device {
            id: vec![at],
            ..Device::new()
        };
        assert_eq!(register(&mut river, &mut device).await.location, ACCOUNT);
    }
    let page = river.get(ACCOUNT).await;
    assert!(!page.body.contains("data-challenge"));
    let form = other.get(ACCOUNT).await.hidden("form");
    let passkey = page.hidden("passkey");
    let page = other
        .post("/console/account/remove", &form, &[("passkey", &passkey)])
        .await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
}

#[test]
fn passkeys_are_for_a_name_and_not_for_an_address() {
    for (base, id) in [
        ("https://lending.example", Some("lending.example")),
        ("http://localhost:8080", Some("localhost")),
        ("https://lending.example:8443/", Some("lending.example")),
        ("http://127.0.0.1:8080", None),
        ("http://[::1]:8080", None),
    ] {
        let party = passkey::RelyingParty::of(base);
        assert_eq!(party.map(|party| party.id).as_deref(), id, "{base}");
    }
}
