//! HTTP message signatures (RFC 9421), with the tags of FAPI 2.0.

use std::borrow::Cow;
use std::fmt::Write as _;

use http::{HeaderMap, HeaderValue, Uri};
use sfv::{
    BareItem, Dictionary, InnerList, Item, ItemSerializer, Key, KeyRef, ListEntry, ListSerializer,
    Parameters, Parser,
};

use crate::key::{KeyError, SigningKey};

/// Name of the field with what is signed.
pub const SIGNATURE_INPUT: &str = "signature-input";
/// Name of the field with signatures.
pub const SIGNATURE: &str = "signature";
/// Tag of a request's signature.
pub const REQUEST_TAG: &str = "fapi-2-request";
/// Tag of an answer's signature.
pub const RESPONSE_TAG: &str = "fapi-2-response";

/// A message, as far as signatures look at it.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    /// Method of the request.
    pub method: &'a str,
    /// Absolute URI of the request, as the caller wrote it.
    pub target: &'a str,
    /// Status, if the message is an answer.
    pub status: Option<u16>,
    /// Fields.
    pub headers: &'a HeaderMap,
    /// Fields of the request, if the message is an answer.
    pub request: Option<&'a HeaderMap>,
}

/// A signature of a message, not yet verified.
#[derive(Debug)]
pub struct Signed {
    list: InnerList,
    /// The signature's bytes.
    pub signature: Vec<u8>,
}

impl Signed {
    /// Finds the one signature with a tag, or the only one if no tag is asked for.
    pub fn find(headers: &HeaderMap, tag: Option<&str>) -> Result<Signed, String> {
        let mut inputs = dictionary(headers, SIGNATURE_INPUT)?;
        let signatures = dictionary(headers, SIGNATURE)?;
        let mut found = None;
        for (label, entry) in inputs.drain(..) {
            let ListEntry::InnerList(list) = entry else {
                return Err(format!("Signature-Input {label} is not a list in brackets"));
            };
            if tag.is_some() && text(&list.params, "tag") != tag {
                continue;
            }
            if found.replace((label, list)).is_some() {
                return Err("more than one signature could be meant: send one".to_owned());
            }
        }
        let Some((label, list)) = found else {
            return Err(match tag {
                Some(tag) => format!("no signature in Signature-Input has tag \"{tag}\""),
                None => "Signature-Input is empty".to_owned(),
            });
        };
        match signatures.get(&label) {
            Some(ListEntry::Item(Item {
                bare_item: BareItem::ByteSequence(signature),
                ..
            })) => Ok(Signed {
                list,
                signature: signature.clone(),
            }),
            _ => Err(format!("Signature has no bytes under the label {label}")),
        }
    }

    /// A parameter that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        text(&self.list.params, name)
    }

    /// A parameter that is a whole number.
    pub fn number(&self, name: &str) -> Option<i64> {
        match self.list.params.get(name) {
            Some(BareItem::Integer(value)) => Some((*value).into()),
            _ => None,
        }
    }

    /// Whether a component is signed.
    pub fn covers(&self, name: &str, of_request: bool) -> bool {
        self.list.items.iter().any(|item| {
            matches!(&item.bare_item, BareItem::String(text) if text.as_str() == name)
                && is_of_request(item) == of_request
        })
    }

    /// The signature base: what is signed, byte for byte.
    pub fn base(&self, message: &Message<'_>) -> Result<String, String> {
        base(&self.list, message)
    }
}

/// Signs a message: the values of Signature-Input and Signature. A component is a name, and
/// whether it is the request's.
pub fn sign(
    message: &Message<'_>,
    components: &[(&str, bool)],
    created: i64,
    tag: &str,
    key: &SigningKey,
) -> Result<(HeaderValue, HeaderValue), SignError> {
    let string = |text: &str| {
        sfv::String::from_string(text.to_owned())
            .map_err(|_| SignError::Base(format!("{text} is not ASCII")))
    };
    let mut items = Vec::with_capacity(components.len());
    for (name, of_request) in components {
        let mut item = Item::new(string(name)?);
        if *of_request {
            item.params.insert(name_key("req"), true.into());
        }
        items.push(item);
    }
    let mut params = Parameters::new();
    let created = sfv::Integer::try_from(created)
        .map_err(|_| SignError::Base(format!("{created} is no time")))?;
    params.insert(name_key("created"), created.into());
    params.insert(name_key("keyid"), string(&key.public().kid)?.into());
    params.insert(name_key("tag"), string(tag)?.into());
    let list = InnerList::with_params(items, params);
    let base = base(&list, message).map_err(SignError::Base)?;
    let signature = key.sign(base.as_bytes())?;
    let signature = ItemSerializer::new()
        .bare_item(signature.as_slice())
        .finish();
    let value = |text: String| HeaderValue::try_from(text).expect("structured fields are ASCII");
    Ok((
        value(format!("sig={}", written(&list))),
        value(format!("sig={signature}")),
    ))
}

/// Why a message cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// A component is not there or cannot be signed.
    #[error("{0}")]
    Base(String),
    /// The key cannot sign.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// All values of a field, joined as one.
pub fn joined<'a>(headers: &'a HeaderMap, name: &str) -> Option<Cow<'a, str>> {
    let mut values = headers
        .get_all(name)
        .iter()
        .map(|value| value.to_str().unwrap_or_default().trim());
    let first = values.next()?;
    Some(values.fold(Cow::Borrowed(first), |joined, value| {
        Cow::Owned(format!("{joined}, {value}"))
    }))
}

fn dictionary(headers: &HeaderMap, name: &str) -> Result<Dictionary, String> {
    let title = if name == SIGNATURE {
        "Signature"
    } else {
        "Signature-Input"
    };
    let Some(value) = joined(headers, name) else {
        return Err(format!(
            "the message has no {title}: sign it as docs/spec/api-security.md says"
        ));
    };
    Parser::new(value.as_bytes())
        .parse()
        .map_err(|error| format!("{title} is not a dictionary (RFC 9651): {error}"))
}

fn base(list: &InnerList, message: &Message<'_>) -> Result<String, String> {
    let mut base = String::with_capacity(1024);
    let mut seen: Vec<String> = Vec::with_capacity(list.items.len());
    for item in &list.items {
        let name = ItemSerializer::new()
            .bare_item(&item.bare_item)
            .parameters(&item.params)
            .finish();
        let value = component(item, &name, message)?;
        // Writing to a String cannot fail.
        let _ = writeln!(base, "{name}: {value}");
        if seen.contains(&name) {
            return Err(format!("component {name} is there twice"));
        }
        seen.push(name);
    }
    let _ = write!(base, "\"@signature-params\": {}", written(list));
    Ok(base)
}

/// The value of a component.
fn component<'a>(item: &Item, name: &str, message: &Message<'a>) -> Result<Cow<'a, str>, String> {
    let BareItem::String(field) = &item.bare_item else {
        return Err(format!("component {name} is not in quotes"));
    };
    let of_request = is_of_request(item);
    if item.params.len() > usize::from(of_request) {
        return Err(format!(
            "component {name} has parameters that are not understood here"
        ));
    }
    let headers = match (of_request, message.request) {
        (false, _) => message.headers,
        (true, Some(request)) => request,
        (true, None) => return Err(format!("component {name} is of a request, in a request")),
    };
    let field = field.as_str();
    if !field.starts_with('@') {
        return joined(headers, field)
            .ok_or_else(|| format!("component {name} is signed, but the field is not there"));
    }
    let of_answer = message.status.is_some() && !of_request;
    let target = || -> Result<Uri, String> {
        let parsed = message.target.parse();
        parsed.map_err(|_| format!("{} is no URI", message.target))
    };
    let value = match field {
        "@status" if of_answer => {
            return Ok(Cow::Owned(message.status.unwrap_or_default().to_string()));
        }
        _ if of_answer => None,
        "@method" => Some(Cow::Borrowed(message.method)),
        "@target-uri" => Some(Cow::Borrowed(message.target)),
        "@authority" => target()?
            .authority()
            .map(|authority| Cow::Owned(authority.as_str().to_ascii_lowercase())),
        "@scheme" => target()?
            .scheme_str()
            .map(|scheme| Cow::Owned(scheme.to_ascii_lowercase())),
        "@path" => Some(Cow::Owned(target()?.path().to_owned())),
        "@query" => Some(Cow::Owned(format!(
            "?{}",
            target()?.query().unwrap_or_default()
        ))),
        "@request-target" => target()?
            .path_and_query()
            .map(|path| Cow::Owned(path.as_str().to_owned())),
        _ => None,
    };
    value.ok_or_else(|| format!("component {name} is not known for this message"))
}

fn is_of_request(item: &Item) -> bool {
    item.params.get("req") == Some(&BareItem::Boolean(true))
}

fn text<'a>(params: &'a Parameters, name: &str) -> Option<&'a str> {
    match params.get(name) {
        Some(BareItem::String(text)) => Some(text.as_str()),
        _ => None,
    }
}

fn written(list: &InnerList) -> String {
    let mut lists = ListSerializer::new();
    {
        let mut inner = lists.inner_list();
        inner.items(&list.items);
        let _ = inner.finish().parameters(&list.params);
    }
    lists.finish().unwrap_or_default()
}

fn name_key(name: &str) -> Key {
    KeyRef::from_str(name)
        .expect("the names above are keys")
        .to_owned()
}
