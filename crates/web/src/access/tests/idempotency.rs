//! Repeated requests.

use super::*;

#[tokio::test]
async fn the_same_request_gets_the_same_answer_signed_anew() {
    let service = Service::new();
    let signer = service.bazaar();
    let token = service.token(&signer).await;
    let first = service
        .send(service.order(&signer, &token, "k1", "one"))
        .await;
    service.later(1);
    let again = service.order(&signer, &token, "k1", "one");
    let request = again.headers.clone();
    let second = service.send(again).await;
    assert_eq!(service.handled.load(Ordering::SeqCst), 1);
    assert_eq!((first.status, first.text()), (second.status, second.text()));
    assert_eq!(first.headers["location"], second.headers["location"]);
    assert_eq!(second.headers["idempotency-replayed"], "true");
    assert_ne!(first.headers["signature"], second.headers["signature"]);
    let answer = (201, &second.headers, second.body.as_ref());
    let keys = service.access.jwks().known();
    signer
        .verify_answer(&keys, ("POST", "/v1/orders", &request), answer)
        .unwrap();
    // In quotes, as the draft has it, the key is the same.
    let quoted = service.order(&signer, &token, "\"k1\"", "one");
    assert_eq!(service.send(quoted).await.text(), first.text());
}

#[tokio::test]
async fn of_requests_at_the_same_time_one_is_carried_out() {
    let service = Service::new();
    let signer = service.bazaar();
    let token = service.token(&signer).await;
    let race = (0..4).map(|_| service.send(service.order(&signer, &token, "k1", "slow")));
    let answers = futures_util::future::join_all(race).await;
    assert_eq!(service.handled.load(Ordering::SeqCst), 1);
    let mut statuses: Vec<_> = answers
        .iter()
        .map(|answer| answer.status.as_u16())
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409]);
    let refused = answers.iter().find(|answer| answer.status == 409).unwrap();
    assert_eq!(refused.json()["code"], "in_flight");
    assert_eq!(refused.headers["retry-after"], "1");
}

#[tokio::test]
async fn an_answer_that_may_get_better_is_not_kept() {
    let service = Service::new();
    let signer = service.bazaar();
    let token = service.token(&signer).await;
    for handled in 1..3 {
        let answer = service
            .send(service.order(&signer, &token, "k1", "busy"))
            .await;
        assert_eq!(answer.status, 503);
        assert_eq!(service.handled.load(Ordering::SeqCst), handled);
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_frees_its_key() {
    let service = Service::new();
    let signer = service.bazaar();
    let token = service.token(&signer).await;
    let gone = service.send(service.order(&signer, &token, "k1", "slow"));
    let wait = std::time::Duration::from_millis(20);
    assert!(tokio::time::timeout(wait, gone).await.is_err());
    let again = service
        .send(service.order(&signer, &token, "k1", "slow"))
        .await;
    assert_eq!(again.status, 201);
    assert_eq!(service.handled.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn answers_outlive_the_process_and_go_after_a_day_unless_they_are_about_money() {
    let service = Service::new();
    let signer = service.bazaar();
    let token = service.token(&signer).await;
    for (key, body) in [("k1", "one"), ("k2", "money")] {
        service
            .send(service.order(&signer, &token, key, body))
            .await;
    }
    let service = Service::open(service.folder, 1_000, |_| {});
    let signer = service.bazaar();
    let mut found = Vec::new();
    for _ in 0..2 {
        let token = service.token(&signer).await;
        for (key, body) in [("k1", "one"), ("k2", "money")] {
            let answer = service
                .send(service.order(&signer, &token, key, body))
                .await;
            found.push(answer.headers.contains_key("idempotency-replayed"));
        }
        service.later(answers::KEPT + 1);
    }
    assert_eq!(found, [true, true, false, true]);
    let count = |service: &Service| {
        let query = "SELECT count(*) FROM answer";
        let count = |connection: &mut rusqlite::Connection| {
            connection.query_row(query, [], |row| row.get::<_, i64>(0))
        };
        service.file().with(count).unwrap()
    };
    // What is written later sweeps what is too old.
    let token = service.token(&signer).await;
    service
        .send(service.order(&signer, &token, "k3", "three"))
        .await;
    assert_eq!(count(&service), 2);
}

#[tokio::test]
async fn a_key_belongs_to_its_client() {
    let service = Service::new();
    let key = new_key(Algorithm::Ed25519);
    let client = Client::new("other", "harbour", "applications:write", &jwks(&key)).unwrap();
    client.register(&service.registry).unwrap();
    let signer = service.bazaar();
    let token = service.token(&signer).await;
    service
        .send(service.order(&signer, &token, "k1", "one"))
        .await;
    let other = Signer::new(BASE, "other", key).unwrap();
    let token = service.token(&other).await;
    let answer = service
        .send(service.order(&other, &token, "k1", "one"))
        .await;
    assert_eq!(answer.text(), "order 2 of harbour");
}
