//! Passkeys, with a device made of the same library that checks it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;

use super::sign_in::challenge;
use super::*;

const ORIGIN: &str = "https://lending.example";
const ACCOUNT: &str = "/console/account";
const SIGN_IN: &str = "/console/sign-in";
const PASSKEY: &str = "/console/sign-in/passkey";

enum Signs {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(Box<RsaKeyPair>),
}

/// A device with one key. What it says can be made wrong, one thing at a time.
struct Device {
    id: Vec<u8>,
    signs: Signs,
    /// Whose its key is, as it was told.
    user: String,
    counter: u32,
    origin: String,
    /// The page that the page stands in.
    top_origin: Option<&'static str>,
    party: String,
    flags: u8,
    kind: Option<&'static str>,
    /// What it says after all else.
    more: Vec<u8>,
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
            user: "1".to_owned(),
            counter: 1,
            origin: ORIGIN.to_owned(),
            top_origin: None,
            party: "lending.example".to_owned(),
            flags: 0b101,
            kind: None,
            more: Vec::new(),
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

    fn rsa() -> Device {
        let pkcs8 = PrivatePkcs8KeyDer::from_pem_slice(include_bytes!("rsa.pem")).unwrap();
        let key = RsaKeyPair::from_pkcs8(pkcs8.secret_pkcs8_der()).unwrap();
        Device {
            signs: Signs::Rs256(Box::new(key)),
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
            Signs::Rs256(key) => {
                encoder.map(4).unwrap();
                for (name, value) in [(1, 3), (3, -257)] {
                    encoder.i32(name).unwrap().i32(value).unwrap();
                }
                let PublicKeyComponents { n, e }: PublicKeyComponents<Vec<u8>> =
                    key.public().into();
                encoder.i32(-1).unwrap().bytes(&n).unwrap();
                encoder.i32(-2).unwrap().bytes(&e).unwrap();
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
        said.extend(&self.more);
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
            "crossOrigin": self.top_origin.is_some(),
        });
        let mut client = client;
        if let Some(top) = self.top_origin {
            client["topOrigin"] = top.into();
        }
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
            Signs::Rs256(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                let random = SystemRandom::new();
                key.sign(&RSA_PKCS1_SHA256, &random, &message, &mut signature)
                    .unwrap();
                signature
            }
        };
        self.counter += 1;
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        vec![
            ("form", page.hidden("form")),
            ("credential", text(&self.id)),
            ("user", text(self.user.as_bytes())),
            ("client_data", text(client.as_bytes())),
            ("authenticator", text(&said)),
            ("signature", text(&signature)),
            ("name", "Phone".to_owned()),
            ("password", PASSWORD.to_owned()),
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
    for mut device in [Device::new(), Device::ed25519(), Device::rsa()] {
        let (_book, console, mut river) = party().await;
        river.get(ACCOUNT).await.says("You have no passkey yet.");
        assert_eq!(register(&mut river, &mut device).await.location, ACCOUNT);
        let page = river.get(ACCOUNT).await;
        page.says("Phone");
        page.says(&format!("data-known=\"{}\"", crate::hex(&device.id)));
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
        // Whoever has the lost device is not signed in on it any more.
        assert!(river.get(ACCOUNT).await.location.starts_with(SIGN_IN));
        let page = sign_in(&mut console.another(), &mut device).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
        page.says("This passkey is not known here");
    }
}

#[tokio::test]
async fn what_a_device_did_not_say_for_us_now_and_with_somebody_there_is_refused() {
    let (_book, console, mut river) = party().await;
    let wrong: [fn(&mut Device); 14] = [
        |device| device.origin = "https://lending.example.evil".to_owned(),
        |device| device.party = "evil.example".to_owned(),
        // Nobody was verified; nobody was there.
        |device| device.flags = 0b001,
        |device| device.flags = 0b100,
        |device| device.kind = Some("webauthn.other"),
        // Inside a page of somebody else.
        |device| device.top_origin = Some("https://evil.example"),
        // Copied, and not to be copied.
        |device| device.flags = 0b1_0101,
        // More than is announced, and less; a bomb.
        |device| device.more = vec![0xa0],
        |device| device.flags = 0b1000_0101,
        |device| (device.flags, device.more) = (0b1000_0101, vec![0x9f; 100_000]),
        // From here on only what is told of a known key.
        |device| device.flags = 0b1101,
        |device| device.user = "2".to_owned(),
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
        if at < 10 {
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
    for (base, expected) in [
        (
            "https://lending.example",
            Some(("https://lending.example", "lending.example")),
        ),
        (
            "http://localhost:8080",
            Some(("http://localhost:8080", "localhost")),
        ),
        (
            "https://Lending.example:8443/api",
            Some(("https://lending.example:8443", "lending.example")),
        ),
        (
            "https://lending.example:443",
            Some(("https://lending.example", "lending.example")),
        ),
        ("http://127.0.0.1:8080", None),
        ("http://[::1]:8080", None),
    ] {
        let party = passkey::RelyingParty::of(base);
        let party = party
            .as_ref()
            .map(|party| (party.origin.as_str(), party.id.as_str()));
        assert_eq!(party, expected, "{base}");
    }
}

#[tokio::test]
async fn a_key_that_is_not_as_it_must_be_is_not_added() {
    let (_book, _console, mut river) = party().await;
    for length in [0, 1024] {
        let mut device = Device {
            id: vec![7; length],
            ..Device::new()
        };
        let page = register(&mut river, &mut device).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{length}");
    }
    let map = |parts: &[(i32, Result<i32, &[u8]>)]| {
        let mut encoder = minicbor::Encoder::new(Vec::new());
        encoder.map(parts.len() as u64).unwrap();
        for (name, value) in parts {
            encoder.i32(*name).unwrap();
            match value {
                Ok(number) => encoder.i32(*number).unwrap(),
                Err(bytes) => encoder.bytes(bytes).unwrap(),
            };
        }
        encoder.into_writer()
    };
    let (x, short, n, weak): (&[u8], &[u8], &[u8], &[u8]) =
        (&[1; 32], &[1; 31], &[255; 256], &[255; 128]);
    let curve = |number| [(1, Ok(2)), (3, Ok(-7)), (-1, Ok(number))];
    let rsa = [(1, Ok(3)), (3, Ok(-257))];
    let usual: &[u8] = &[1, 0, 1];
    for (parts, sound) in [
        (
            [&curve(1)[..], &[(-2, Err(x)), (-3, Err(x))]].concat(),
            true,
        ),
        // Another curve, half a point, a point whose half is said twice.
        (
            [&curve(2)[..], &[(-2, Err(x)), (-3, Err(x))]].concat(),
            false,
        ),
        (
            [&curve(1)[..], &[(-2, Err(x)), (-3, Err(short))]].concat(),
            false,
        ),
        (
            [&curve(1)[..], &[(-2, Err(x)), (-3, Err(x)), (-3, Err(x))]].concat(),
            false,
        ),
        ([&rsa[..], &[(-1, Err(n)), (-2, Err(usual))]].concat(), true),
        // 1024 bits, and an exponent with which signatures were forged.
        (
            [&rsa[..], &[(-1, Err(weak)), (-2, Err(usual))]].concat(),
            false,
        ),
        ([&rsa[..], &[(-1, Err(n)), (-2, Err(&[3]))]].concat(), false),
        // An algorithm that is not offered.
        (vec![(1, Ok(2)), (3, Ok(-35)), (-1, Ok(2))], false),
    ] {
        assert_eq!(passkey::is_sound(&map(&parts)), sound, "{parts:?}");
    }
}

#[tokio::test]
async fn only_who_knows_the_password_adds_a_passkey_in_an_open_session() {
    let (_book, _console, mut river) = party().await;
    let mut device = Device::new();
    for attempt in 0..6 {
        let page = river.get(ACCOUNT).await;
        let mut fields = device.answer(&page, true);
        // The sixth comes too soon after five wrong ones.
        fields.last_mut().unwrap().1 = match attempt {
            5 => PASSWORD.to_owned(),
            _ => "found an open session".to_owned(),
        };
        let page = send(&mut river, ACCOUNT, &fields).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        page.says("The password is wrong, or was wrong too often. Nothing was changed.");
        river.get(ACCOUNT).await.says("You have no passkey yet.");
    }
    river.pass(15);
    assert_eq!(register(&mut river, &mut device).await.location, ACCOUNT);
}
