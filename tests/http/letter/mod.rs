//! HTTP to the letter of both Go servers, v0.8.4 and v1.0.3: a table of requests and of what comes back, where that is no
//! defect of theirs; and their defects, by the numbers that they have in `docs/compatibility.md`.
mod accounts;
mod activations;
mod cors;
mod examples;
mod layout;
mod packs;
mod routes;
mod row;
mod weaknesses;
mod world;

use row::{Row, told};
use world::World;

#[tokio::test]
async fn every_row_of_the_catalogue_holds() {
    let world = World::new().await;
    let rows: Vec<Row> = [
        routes::rows(),
        accounts::reads(),
        accounts::pushes(),
        activations::rows(),
        packs::rows(),
        cors::rows(),
        weaknesses::rows(),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert!(rows.len() > 150, "{} rows", rows.len());
    let mut names = std::collections::HashSet::new();
    let mut faults = Vec::new();
    for row in &rows {
        assert!(names.insert(&row.name), "two rows are called {}", row.name);
        faults.extend(world.faults(row).await);
    }
    assert!(faults.is_empty(), "{} of {} rows fail:\n{}", faults.len(), rows.len(), told(&faults));
    world.is_unharmed().await;
}
