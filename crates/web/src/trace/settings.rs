//! Where traces are sent, and as whom: OpenTelemetry's variables of the environment.

use std::path::Path;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

use super::span::Attribute;
use crate::unescaped;

/// Where to send, and as whom.
pub struct Settings {
    pub(super) url: String,
    /// May have secrets in it, so this type is never printed.
    pub(super) headers: HeaderMap,
    pub(super) roots: Option<RootCerts>,
    pub(super) resource: Vec<Attribute>,
    /// Traces that begin here are recorded if their number is less.
    pub(super) below: u64,
}

/// What of its traces an operator wants, by the names of OpenTelemetry.
const SAMPLERS: &str = "parentbased_always_on, parentbased_always_off, parentbased_traceidratio with a share from 0 to 1 \
     in OTEL_TRACES_SAMPLER_ARG";

impl Settings {
    /// Reads OpenTelemetry's variables of the environment; none if they name no endpoint. `node` is
    /// the name of this process among those of the service.
    pub fn read(
        variable: impl Fn(&str) -> Option<String>,
        node: Option<&str>,
    ) -> Result<Option<Settings>, String> {
        // One that is empty is as if it were not there.
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        // One for traces goes before the one for everything.
        let either = |rest: &str| {
            let names = ["OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"];
            let mut names = names.map(|begin| format!("{begin}{rest}")).into_iter();
            names.find_map(|name| Some((variable(&name)?, name)))
        };
        let off = variable("OTEL_SDK_DISABLED").is_some_and(|is| is.eq_ignore_ascii_case("true"))
            || variable("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter == "none");
        let Some((endpoint, name)) = either("ENDPOINT").filter(|_| !off) else {
            return Ok(None);
        };
        if let Some((protocol, name)) = either("PROTOCOL")
            && protocol != "http/json"
        {
            return Err(format!(
                "{name}: traces are sent by http/json, not by {protocol}; leave it out and name the \
                 collector's port for HTTP, usually 4318"
            ));
        }
        let uri: Option<Uri> = endpoint.parse().ok();
        let is_base = |uri: &Uri| {
            let web = ["http", "https"].map(Some).contains(&uri.scheme_str());
            web && uri.query().is_none()
                && uri.authority().is_some_and(|at| !at.as_str().contains('@'))
        };
        if !uri.is_some_and(|uri| is_base(&uri)) {
            // It may have a password in it.
            return Err(format!(
                "{name} must be like http://collector:4318; a password goes into \
                 OTEL_EXPORTER_OTLP_HEADERS"
            ));
        }
        let url = match name.contains("TRACES") {
            true => endpoint,
            false => format!("{}/v1/traces", endpoint.trim_end_matches('/')),
        };
        let roots = either("CERTIFICATE").map(|(path, name)| {
            roots(Path::new(&path)).map_err(|error| format!("{name}: {path}: {error}"))
        });
        let headers = either("HEADERS").map(|(text, name)| headers(&text, &name));
        Ok(Some(Settings {
            url,
            headers: headers.transpose()?.unwrap_or_default(),
            roots: roots.transpose()?,
            resource: resource(variable, node)?,
            below: share(variable)?,
        }))
    }
}

/// Reads `name=value,name=value`, as W3C Baggage writes it. What is wrong is not shown: it may be
/// a secret.
fn pairs(text: &str, name: &str) -> Result<Vec<(String, String)>, String> {
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    let pairs = pairs.map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((name.trim().to_owned(), unescaped(value.trim())))
    });
    let pairs: Option<Vec<_>> = pairs.collect();
    pairs.ok_or_else(|| format!("{name} must be name=value, with commas between several"))
}

fn headers(text: &str, name: &str) -> Result<HeaderMap, String> {
    let fields = pairs(text, name)?.into_iter().map(|(field, value)| {
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::try_from(field).ok()?, value))
    });
    let fields: Option<HeaderMap> = fields.collect();
    fields.ok_or_else(|| format!("{name} has what is no field of HTTP"))
}

fn roots(path: &Path) -> Result<RootCerts, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<Certificate<'static>> = certificates.collect();
    match certificates.is_empty() {
        true => Err("there is no certificate (PEM) in it".to_owned()),
        false => Ok(RootCerts::new_with_certs(&certificates)),
    }
}

/// What the service says about itself. What is named by itself goes before what is in the list.
fn resource(
    variable: impl Fn(&str) -> Option<String>,
    node: Option<&str>,
) -> Result<Vec<Attribute>, String> {
    const LIST: &str = "OTEL_RESOURCE_ATTRIBUTES";
    let version = env!("CARGO_PKG_VERSION");
    let mut resource: std::collections::BTreeMap<_, _> = [
        ("service.name", "tandem"),
        ("service.version", version),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.name", "tandem"),
        ("telemetry.sdk.version", version),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    resource.extend(node.map(|node| ("service.instance.id".to_owned(), node.to_owned())));
    resource.extend(pairs(&variable(LIST).unwrap_or_default(), LIST)?);
    let name = variable("OTEL_SERVICE_NAME");
    resource.extend(name.map(|name| ("service.name".to_owned(), name)));
    let resource = resource.into_iter();
    Ok(resource
        .map(|(key, value)| Attribute {
            key: key.into(),
            value: value.into(),
        })
        .collect())
}

/// Below which number traces that begin here are recorded.
fn share(variable: impl Fn(&str) -> Option<String>) -> Result<u64, String> {
    let sampler = variable("OTEL_TRACES_SAMPLER");
    let share = match sampler.as_deref() {
        None | Some("parentbased_always_on") => Some(1.0),
        Some("parentbased_always_off") => Some(0.0),
        Some("parentbased_traceidratio") => match variable("OTEL_TRACES_SAMPLER_ARG") {
            None => Some(1.0),
            Some(text) => text.parse::<f64>().ok(),
        },
        Some(_) => None,
    };
    let share = share.filter(|share| (0.0..=1.0).contains(share));
    let share = share.ok_or_else(|| format!("OTEL_TRACES_SAMPLER must be one of {SAMPLERS}"))?;
    Ok((share * (1_u64 << 63) as f64) as u64)
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::metrics::Metrics;
    use crate::trace::{Exporter, Trace};

    type Variables<'a> = &'a [(&'a str, &'a str)];

    pub(in crate::trace) fn read(variables: Variables<'_>) -> Result<Option<Settings>, String> {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        Settings::read(
            |name| variables.get(name).map(|value| (*value).to_owned()),
            Some("n1"),
        )
    }

    #[test]
    fn what_is_wrong_with_the_environment_is_said_without_secrets() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        for (variables, expected) in [
            (
                [
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:secret@collector"),
                    ("", ""),
                ],
                "OTEL_EXPORTER_OTLP_ENDPOINT must be like http://collector:4318; a password goes \
                 into OTEL_EXPORTER_OTLP_HEADERS",
            ),
            (
                [
                    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318"),
                    ("", ""),
                ],
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT must be like http://collector:4318; a password \
                 goes into OTEL_EXPORTER_OTLP_HEADERS",
            ),
            (
                [endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
                "OTEL_EXPORTER_OTLP_PROTOCOL: traces are sent by http/json, not by grpc; leave it \
                 out and name the collector's port for HTTP, usually 4318",
            ),
            (
                [endpoint, ("OTEL_EXPORTER_OTLP_HEADERS", "secret")],
                "OTEL_EXPORTER_OTLP_HEADERS must be name=value, with commas between several",
            ),
            (
                [endpoint, ("OTEL_EXPORTER_OTLP_HEADERS", "api key=secret")],
                "OTEL_EXPORTER_OTLP_HEADERS has what is no field of HTTP",
            ),
            (
                [endpoint, ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/dev/null")],
                "OTEL_EXPORTER_OTLP_CERTIFICATE: /dev/null: there is no certificate (PEM) in it",
            ),
            (
                [endpoint, ("OTEL_TRACES_SAMPLER", "sometimes")],
                "OTEL_TRACES_SAMPLER must be one of parentbased_always_on, parentbased_always_off, \
                 parentbased_traceidratio with a share from 0 to 1 in OTEL_TRACES_SAMPLER_ARG",
            ),
        ] {
            assert_eq!(read(&variables).err().as_deref(), Some(expected));
        }
    }

    #[test]
    fn traces_are_sent_where_the_environment_says() {
        assert!(read(&[]).unwrap().is_none());
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318/");
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://own/traces");
        let url = |variables: Variables<'_>| read(variables).unwrap().map(|settings| settings.url);
        assert_eq!(url(&[all]).unwrap(), "http://all:4318/v1/traces");
        assert_eq!(url(&[all, own]).unwrap(), "http://own/traces");
        assert_eq!(url(&[all, ("OTEL_SDK_DISABLED", "true")]), None);
        assert_eq!(url(&[all, ("OTEL_TRACES_EXPORTER", "none")]), None);
        assert_eq!(url(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]), None);
    }

    #[test]
    fn a_share_of_traces_is_recorded_by_their_ids() {
        let exporter = |sampler: &str, share: &str| {
            let settings = read(&[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
                ("OTEL_TRACES_SAMPLER", sampler),
                ("OTEL_TRACES_SAMPLER_ARG", share),
            ]);
            Exporter::start(settings.unwrap().unwrap(), &Metrics::default()).unwrap()
        };
        let taken = |exporter: &Exporter| {
            let ids = (0..1000).map(|_| Trace::begin(true).id);
            ids.filter(|id| exporter.samples(id)).count()
        };
        assert_eq!(taken(&exporter("parentbased_always_on", "")), 1000);
        assert_eq!(taken(&exporter("parentbased_always_off", "")), 0);
        let quarter = exporter("parentbased_traceidratio", "0.25");
        assert!((150..350).contains(&taken(&quarter)));
        let mut id = [0xff; 16];
        id[8] = 0x3f;
        assert!(quarter.samples(&id));
        id[8] = 0x40;
        assert!(!quarter.samples(&id));
    }
}
