//! `tandem person`: people who sign in to the console of a service.

use tandem_client::system_time;
use tandem_web::audit::{self, Act, Entry};
use tandem_web::console::people::{self, NewPerson, Role};

use crate::export;
use crate::fail::{Failure, Outcome};
use crate::service::{self, make_folder, open_audit};

/// Somebody who is to sign in to the console.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: service::Place,
    /// Name to sign in with, often an e-mail address.
    login: String,
    /// The person's name.
    #[arg(long)]
    name: String,
    /// Id of the party that the person works for, as in the agreements.
    #[arg(long)]
    party: String,
    /// What the person may do; repeat it for several roles.
    #[arg(long, value_name = "ROLE", value_parser = role, default_value = "admin")]
    role: Vec<Role>,
}

fn role(name: &str) -> Result<Role, String> {
    let known = || Role::ALL.map(Role::name).join(", ");
    Role::of(name).ok_or_else(|| format!("there is no role `{name}`; there are {}", known()))
}

/// Adds the person and prints the password of the first sign-in.
pub(crate) fn add(options: &Options) -> Outcome {
    make_folder(&options.place.data)?;
    let registry = options.place.registry()?;
    let roles = options.role.iter().copied().chain([Role::Viewer]);
    let new = NewPerson {
        login: &options.login,
        name: &options.name,
        party: &options.party,
        roles: roles.collect(),
    };
    let password = people::invite(&registry, new).map_err(|error| Failure(error.to_string()))?;
    note(options)?;
    export::show(&format!(
        "{} signs in with the password {password}, which is shown only here; at the first \
         sign-in another is chosen and an authenticator set up\n",
        options.login
    ))
}

/// Tells the party's auditors that the operator added somebody.
fn note(options: &Options) -> Outcome {
    let roles: Vec<_> = options.role.iter().map(|role| role.name()).collect();
    let fields = [
        ("login", options.login.clone()),
        ("roles", roles.join(", ")),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), Entry::value(&value)));
    let entry = Entry {
        address: "–".to_owned(),
        fields: fields.into(),
        status: Some(200),
        ..Entry::new(
            (&options.party, "tandem person"),
            Act::Asked,
            "/people",
            system_time(),
        )
    };
    let noted = audit::append(&open_audit(&options.place.data)?, &mut [entry]);
    noted
        .map(drop)
        .map_err(|error| Failure(format!("the audit log cannot be written: {error}")))
}
