//! A loan by itself: the instalments that its terms plan, and what it costs a year.

mod flows;
mod print;
mod terms;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tandem_domain::cost::apr::{self, Times};

use self::flows::read_flows;
use self::terms::Cost;
pub(crate) use self::terms::TermsFile;
use crate::export;
use crate::fail::{Failure, Outcome};

/// What `schedule` is asked.
#[derive(Args)]
pub(crate) struct Options {
    /// The terms, a TOML file (`tandem schema terms`).
    #[arg(long, value_name = "FILE")]
    terms: PathBuf,
    /// How to write the instalments.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// Amounts in minor units.
    Json,
    /// One line for each instalment.
    Csv,
}

/// What `apr` is asked.
#[derive(Args)]
pub(crate) struct AprOptions {
    /// The terms of a loan, a TOML file (`tandem schema terms`).
    #[arg(long, value_name = "FILE", required_unless_present = "flows")]
    terms: Option<PathBuf>,
    /// Dated flows instead, a CSV file with the columns `date`, `amount` (advances to the borrower
    /// are negative) and, without `--currency`, `currency`.
    #[arg(long, value_name = "FILE", conflicts_with = "terms")]
    flows: Option<PathBuf>,
    /// Currency of the flows.
    #[arg(long, value_name = "CODE", requires = "flows")]
    currency: Option<String>,
    /// Count days for the EU rate even if all intervals are whole months or weeks.
    #[arg(long, requires = "flows")]
    days: bool,
}

/// Prints the instalments that the terms of a loan plan.
pub(crate) fn schedule(options: &Options) -> Outcome {
    let terms = TermsFile::read(&options.terms)?;
    let plan = terms.plan();
    let text = match options.format {
        Format::Table => print::table(&terms, &plan),
        Format::Json => print::json(&terms, &plan)?,
        Format::Csv => print::csv(&terms, &plan)?,
    };
    export::show(&text)
}

/// Prints what a loan or dated flows cost a year.
pub(crate) fn apr(options: &AprOptions) -> Outcome {
    let text = match (&options.terms, &options.flows) {
        (Some(path), _) => {
            let terms = TermsFile::read(path)?;
            let rates = known(path, terms.rates(&terms.plan()))?;
            format!("{}\n{}", print::head(&terms), print::costs(&rates))
        }
        (None, Some(path)) => {
            let (flows, currency) = read_flows(path, options.currency.as_deref())?;
            let eu = match options.days {
                true => apr::eu_in(Times::Days, &flows),
                false => apr::eu(&flows),
            };
            let rates = known(path, vec![("EU", eu), ("US", apr::regulation_z(&flows))])?;
            format!(
                "{}\n{}",
                print::total(&flows, currency),
                print::costs(&rates)
            )
        }
        (None, None) => return Err(Failure("name a file with --terms or --flows".to_owned())),
    };
    export::show(&text)
}

/// The rates, if there is one at least.
fn known(path: &Path, rates: Vec<Cost>) -> Outcome<Vec<Cost>> {
    match rates.first() {
        Some((_, Err(reason))) if rates.iter().all(|(_, rate)| rate.is_err()) => {
            Err(Failure(format!("{}: {reason}", path.display())))
        }
        _ => Ok(rates),
    }
}
