use super::*;

const BOUNDS: Bounds = Bounds { most: 10, strangers: 6, strangers_each: 4 };

fn client(last: u8, is_proven: bool) -> Client {
    Client { address: IpAddr::from([10, 0, 0, last]), is_proven }
}

/// Enters so many times.
fn fill(places: &FollowerPlaces, client: Client, count: usize) -> Vec<FollowerPlace> {
    (0..count).map(|_| places.enter(client).expect("room").0).collect()
}

fn gone(places: &[FollowerPlace]) -> Vec<usize> {
    (0..places.len()).filter(|place| places[*place].ended().is_cancelled()).collect()
}

fn way(places: &FollowerPlaces, client: Client) -> Result<(FollowerPlace, Option<GaveWayReason>), Full> {
    places.enter(client).map(|(place, gave_way)| (place, gave_way.map(|gave_way| gave_way.why)))
}

#[tokio::test(start_paused = true)]
async fn strangers_have_a_share_of_their_own_and_each_address_a_part_of_it() {
    let places = FollowerPlaces::new(BOUNDS);
    let first = fill(&places, client(1, false), 4);
    assert_eq!(places.enter(client(1, false)).unwrap_err(), Full);
    let _second = fill(&places, client(2, false), 2);
    // All of the share is used: the address with most gives way, the one that came last first.
    let (_third, why) = way(&places, client(3, false)).unwrap();
    assert_eq!((why, gone(&first)), (Some(GaveWayReason::Share), vec![3]));
    // What is left to those that have proven something, they have.
    let _proven = fill(&places, client(9, true), 4);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_proves_where_it_is_comes_before_strangers() {
    let places = FollowerPlaces::new(BOUNDS);
    let mut proven = fill(&places, client(1, true), 5);
    let strangers = [fill(&places, client(1, false), 3), fill(&places, client(2, false), 2)];
    // Of two with as many, it is not its own address.
    for expected in [vec![2], vec![2]] {
        let (place, why) = way(&places, client(1, true)).unwrap();
        proven.push(place);
        assert_eq!((why, gone(&strangers[0])), (Some(GaveWayReason::Stranger), expected));
    }
    proven.extend((0..3).map(|_| way(&places, client(1, true)).unwrap().0));
    assert_eq!([gone(&strangers[0]).len(), gone(&strangers[1]).len(), gone(&proven).len()], [3, 2, 0]);
    // Among themselves, the address with fewest comes first, and a stranger does not come at all.
    assert_eq!(way(&places, client(1, true)).unwrap_err(), Full);
    assert_eq!(way(&places, client(3, false)).unwrap_err(), Full);
    let (_other, why) = way(&places, client(2, true)).unwrap();
    assert_eq!((why, gone(&proven)), (Some(GaveWayReason::Share), vec![9]));
}

#[tokio::test(start_paused = true)]
async fn equal_shares_stay_unless_somebody_takes_nothing() {
    let places = FollowerPlaces::new(Bounds { most: 3, ..BOUNDS });
    let held: Vec<_> = (1..=3).map(|last| places.enter(client(last, true)).unwrap().0).collect();
    assert_eq!(way(&places, client(4, true)).unwrap_err(), Full);
    held[0].moved();
    held[1].moved();
    tokio::time::advance(SLOW / 2).await;
    held[0].moved();
    assert_eq!(way(&places, client(4, true)).unwrap_err(), Full);
    tokio::time::advance(SLOW / 2 + Duration::from_millis(1)).await;
    let (_new, why) = way(&places, client(4, true)).unwrap();
    // The third waits for an answer, and is not slow.
    assert_eq!((why, gone(&held)), (Some(GaveWayReason::Slow), vec![1]));
}

#[tokio::test(start_paused = true)]
async fn a_place_is_free_again_when_its_follower_has_gone_and_only_once() {
    let places = FollowerPlaces::new(Bounds { most: 1, ..BOUNDS });
    let (stranger, _) = places.enter(client(1, false)).unwrap();
    let (proven, gave_way) = places.enter(client(2, true)).unwrap();
    assert_eq!(gave_way.map(|gave_way| gave_way.address), Some(client(1, false).address));
    // It gave its place away already.
    drop(stranger);
    assert_eq!(places.state().held.len(), 1);
    drop(proven);
    assert!(places.enter(client(1, false)).is_ok());
}
