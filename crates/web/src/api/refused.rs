//! Instructions that are refused become cases of the party that sent them.

use tandem_domain::book::{Answer, Command};

use super::Here;
use crate::problem::Problem;
use crate::refusals::{self, Refusal};
use crate::trace;

impl Here {
    /// Has a command about a loan carried out, as [`Here::keeping`] does.
    pub(super) async fn carry_out(
        &self,
        key: &str,
        command: Result<Command, Problem>,
    ) -> Result<Answer, Problem> {
        self.keeping(key, async { self.view.desk.execute(command?).await })
            .await
    }

    /// Does what is asked for a loan; if it is refused, or cannot be asked, that is kept.
    pub(super) async fn keeping<T>(
        &self,
        key: &str,
        done: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        trace::about("reference", key);
        let answer = done.await;
        if let Err(problem) = &answer {
            let day = self.view.desk.look(|book| book.business_date());
            let refused = Refusal::of(key, &self.reference, problem, day.0);
            self.keep_refused(refused.as_slice());
        }
        answer
    }

    /// Keeps what was refused. Who sent it is told anyway; that it is not kept is for the log.
    pub(super) fn keep_refused(&self, refused: &[Refusal]) {
        if refused.is_empty() {
            return;
        }
        let (book, party) = (self.view.desk.name(), &self.caller.party);
        if let Err(error) = refusals::keep(&self.registry, book, party, refused) {
            tracing::error!(%error, "refused instructions cannot be kept as cases");
        }
    }
}
