//! Tells pages that something changed, so that their figures follow.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::unfold;

use super::page::Signed;

/// Pages are told this often at most.
const PAUSE: Duration = Duration::from_secs(2);

/// Changes, until the session ends or the page is left.
pub(super) async fn changes(signed: Signed) -> impl IntoResponse {
    let changes = signed.desk.reader().changes();
    let stream = unfold((changes, signed), |(mut changes, signed)| async move {
        changes.changed().await.ok()?;
        tokio::time::sleep(PAUSE).await;
        let taken = *changes.borrow_and_update();
        // A session that has ended shows nothing more.
        signed.goes_on().then_some(())?;
        let event = Event::default().event("change").data(taken.to_string());
        Some((Ok::<_, Infallible>(event), (changes, signed)))
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}
