//! Messages and keys that nobody would send; see `tandem_fuzz`.

use axum::http::{HeaderName, HeaderValue};
use tandem_fuzz::drive;

use super::*;

#[test]
fn message() {
    let service = Service::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let signer = service.bazaar();
    let token = runtime.block_on(service.token(&signer));
    let call = service.order(&signer, &token, "k1", "one");
    let mut seed = Vec::new();
    for (name, value) in &call.headers {
        seed.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"].concat());
    }
    seed.extend(b"\none");
    drive("message", &[seed], |bytes| {
        let end = bytes.windows(2).position(|pair| pair == b"\n\n");
        let (head, body) = bytes.split_at(end.unwrap_or(bytes.len()));
        let mut request = Request::post("/v1/orders").body(()).unwrap();
        for line in head.split(|byte| *byte == b'\n') {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                continue;
            };
            let (name, value) = line.split_at(colon);
            let value = value[1..].trim_ascii();
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
            {
                request.headers_mut().append(name, value);
            }
        }
        let (parts, ()) = request.into_parts();
        service
            .access
            .explain(&parts, body.get(2..).unwrap_or_default());
    });
}

#[test]
fn keys() {
    let seeds = [
        jwks(&bazaar_key()).into_bytes(),
        jwks(&new_key(Algorithm::Es256)).into_bytes(),
        BAZAAR.as_bytes().to_vec(),
        SigningKey::generate(Algorithm::Es256).unwrap().into_bytes(),
    ];
    drive("keys", &seeds, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(client) = Client::new("app", "bazaar", "", &text) {
            for key in &client.keys {
                key.verify(b"message", &[0; 64]);
            }
        }
        if let Ok(key) = SigningKey::from_pem(&text) {
            key.sign(b"message").unwrap();
        }
    });
}
