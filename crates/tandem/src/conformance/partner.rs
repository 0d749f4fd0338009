//! Holds a deployed service against what partners may rely on.

use std::path::PathBuf;

use tandem_web::conformance::{Identity, Target, report, run};

use crate::export;
use crate::fail::{Failure, Outcome};
use crate::partner::TlsOptions;
use crate::programme::read_text;

/// What `conformance partner` is asked.
#[derive(clap::Args)]
#[command(
    after_help = "Nothing in the service's books changes. Example: tandem conformance partner \
    --agreement marketplace --client demo-bazaar --key demo/keys/bazaar.pem"
)]
pub(crate) struct Options {
    /// The service.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    base: String,
    #[command(flatten)]
    tls: TlsOptions,
    /// Id of an agreement that the client's party is in.
    #[arg(long, value_name = "ID")]
    agreement: String,
    /// Who calls.
    #[arg(long, value_name = "ID")]
    client: String,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// A client of another party, to whom what is not its own must not exist.
    #[arg(long, value_name = "ID", requires = "other_key")]
    other_client: Option<String>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "other_client")]
    other_key: Option<PathBuf>,
}

/// Tries all cases and prints what came of them.
pub(crate) fn partner(options: &Options) -> Outcome {
    let identity = |client: &String, key: &PathBuf| -> Outcome<Identity> {
        Ok(Identity {
            client_id: client.clone(),
            pem: read_text(key)?,
        })
    };
    let other = options
        .other_client
        .as_ref()
        .zip(options.other_key.as_ref());
    let (tls, certified) = options.tls.read()?;
    let target = Target {
        base: options.base.clone(),
        tls,
        certified,
        agreement: options.agreement.clone(),
        client: identity(&options.client, &options.key)?,
        other: other
            .map(|(client, key)| identity(client, key))
            .transpose()?,
    };
    let (text, failed) = report(&run(&target).map_err(Failure)?);
    export::show(&text)?;
    match failed {
        0 => Ok(()),
        1 => Err(Failure("a case failed".to_owned())),
        _ => Err(Failure(format!("{failed} cases failed"))),
    }
}
