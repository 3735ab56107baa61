use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const ROUND: Duration = Duration::from_millis(100);

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(1)
}

/// Takes places until the next one would have to be waited for.
async fn fill(places: &Arc<RequestPlaces>, class: Class) -> Vec<RequestPlace> {
    let mut taken = Vec::new();
    while places.0.lock().has_place(class) {
        taken.push(places.take(class, soon()).await.expect("there is a place"));
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn unknown_keys_have_a_share_and_known_ones_come_first() {
    let places = Arc::new(RequestPlaces::default());
    let unknown = fill(&places, Class::Unknown).await;
    assert_eq!(unknown.len(), 32);
    let mut known = fill(&places, Class::Known).await;
    assert_eq!(known.len(), 96);
    assert!(!places.has_room());
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for class in [Class::Unknown, Class::Unknown, Class::Known, Class::Known] {
        let (places, order) = (places.clone(), order.clone());
        tasks.push(tokio::spawn(async move {
            let place = places.take(class, soon()).await.expect("its turn comes");
            order.lock().push(class);
            place
        }));
        tokio::task::yield_now().await;
    }
    drop(unknown);
    drop(known.split_off(40));
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock(), [Class::Known, Class::Known, Class::Unknown, Class::Unknown]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_answered_in_time_is_rejected_at_once() {
    let places = Arc::new(RequestPlaces::default());
    places.0.lock().answer_time = ROUND.as_secs_f64();
    let taken = fill(&places, Class::Known).await;
    let began = Instant::now();
    // As many as have a place wait for one.
    let waiting = taken.iter().map(|_| {
        let places = places.clone();
        tokio::spawn(async move { places.take(Class::Known, soon()).await.map(drop) })
    });
    let waiting: Vec<_> = waiting.collect();
    while places.0.lock().known.len() < waiting.len() {
        tokio::task::yield_now().await;
    }
    // The next one waits for another round, and is answered in a third one.
    assert!(!places.accepts(Class::Known, began + ROUND * 3 / 2));
    assert_eq!(places.take(Class::Known, began + ROUND * 3 / 2).await.map(drop), Err(NoPlace));
    assert_eq!(Instant::now(), began);
    assert!(places.accepts(Class::Known, began + ROUND * 5 / 2));
    assert!(!places.accepts(Class::Unknown, began + ROUND * 5 / 2));
    drop(taken);
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_nobody_waits_for_goes_to_the_next_one() {
    let places = Arc::new(RequestPlaces::default());
    let mut taken = fill(&places, Class::Known).await;
    let wait = || {
        let places = places.clone();
        tokio::spawn(async move { places.take(Class::Known, soon()).await.map(drop) })
    };
    let (first, second) = (wait(), wait());
    tokio::task::yield_now().await;
    first.abort();
    taken.pop();
    assert_eq!(second.await.unwrap(), Ok(()));
    // One that is given up with its turn in hand.
    let third = wait();
    tokio::task::yield_now().await;
    taken.pop();
    third.abort();
    assert!(third.await.is_err() || places.0.lock().has_place(Class::Known));
    drop(taken);
    assert_eq!(places.0.lock().taken, 0);
}

#[tokio::test(start_paused = true)]
async fn the_number_of_places_follows_the_server() {
    let places = Arc::new(RequestPlaces::default());
    let round = async |how: RequestEnd| {
        let taken = fill(&places, Class::Known).await;
        tokio::time::advance(ROUND).await;
        let count = taken.len();
        taken.into_iter().for_each(|place| place.ended(how));
        count
    };
    assert_eq!(round(RequestEnd::Answered).await, 128);
    let doubled = round(RequestEnd::Answered).await;
    assert!((160..=256).contains(&doubled), "{doubled}");
    for _ in 0..10 {
        round(RequestEnd::Answered).await;
    }
    assert_eq!(round(RequestEnd::Otherwise).await, MOST);
    // However many fail, one round shrinks it once.
    round(RequestEnd::Overloaded).await;
    assert_eq!(round(RequestEnd::Answered).await, 409);
    for _ in 0..40 {
        round(RequestEnd::Overloaded).await;
    }
    assert_eq!(round(RequestEnd::Otherwise).await, 8);
    // After a time without any answer, one says that the server is back.
    tokio::time::advance(Duration::from_secs(5)).await;
    round(RequestEnd::Answered).await;
    assert!(round(RequestEnd::Answered).await >= 128);
}

/// A server that answers each request after [`ROUND`], asked for ten times what it can answer.
#[tokio::test(start_paused = true)]
async fn goodput_stays_at_its_maximum_whatever_is_offered() {
    const BUDGET: Duration = Duration::from_millis(1_400);
    const ROUNDS: usize = 40;
    /// After these, the number of places has found its level.
    const SETTLED: usize = 15;
    for offered in [MOST, 2 * MOST, 10 * MOST] {
        let places = Arc::new(RequestPlaces::default());
        let (answered, late) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut before = 0;
        for round in 0..ROUNDS {
            if round == SETTLED {
                before = answered.load(Ordering::Relaxed);
            }
            for _ in 0..offered {
                let (places, answered, late) = (places.clone(), answered.clone(), late.clone());
                tokio::spawn(async move {
                    let deadline = Instant::now() + BUDGET;
                    let Ok(place) = places.take(Class::Known, deadline).await else { return };
                    tokio::time::sleep(ROUND).await;
                    place.ended(RequestEnd::Answered);
                    let count = if Instant::now() <= deadline { &answered } else { &late };
                    count.fetch_add(1, Ordering::Relaxed);
                });
            }
            tokio::time::sleep(ROUND).await;
        }
        let goodput = (answered.load(Ordering::Relaxed) - before) / (ROUNDS - SETTLED);
        assert!(goodput * 10 >= MOST * 9, "{goodput} of {offered} offered in a round");
        assert_eq!(late.load(Ordering::Relaxed), 0, "what is sent is answered in time");
    }
}
