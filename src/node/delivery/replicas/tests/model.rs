//! The registry against a model that knows every replica by itself.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Commit(u64),
    /// A report, so many changes behind.
    Report(u8, u64),
    OtherHistory(u8),
    Leave(u8),
    Pass(i64),
    Restart(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 1..6_u8;
    prop_oneof![
        3 => (1..5_u64).prop_map(Step::Commit),
        6 => (id.clone(), 0..8_u64).prop_map(|(id, back)| Step::Report(id, back)),
        1 => id.clone().prop_map(Step::OtherHistory),
        1 => id.prop_map(Step::Leave),
        3 => (1..FORGET / 2).prop_map(Step::Pass),
        1 => (0..FORGET / 2).prop_map(Step::Restart),
    ]
}

proptest! {
    /// Whatever happens: who is behind is exactly what the last report of each says, a restart changes nothing of it, and each
    /// replica that was silent for long is forgotten.
    #[test]
    fn what_counts_is_what_was_last_heard(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::at(10);
        // Of each replica: its serial, whether it counts, and since when it is silent.
        let mut model: BTreeMap<u8, (u64, bool, i64)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Commit(count) => world.commit(count),
                Step::Report(id, back) => {
                    let serial = world.head.serial - back.min(world.head.serial);
                    world.confirms(id, serial);
                    model.insert(id, (serial, true, 0));
                }
                Step::OtherHistory(id) => {
                    world.report(|_| {}, id, Some(at(3, 1_000))).expect("room");
                    model.insert(id, (0, true, 0));
                }
                Step::Leave(id) => {
                    let serial = model.get(&id).map(|(serial, ..)| *serial);
                    world.leaves(id, serial.unwrap_or(0));
                    if let Some(known) = model.get_mut(&id) {
                        *known = (known.0, false, 0);
                    }
                }
                Step::Pass(millis) => {
                    world.pass(millis);
                    for known in model.values_mut() {
                        known.2 += millis;
                    }
                }
                Step::Restart(millis) => {
                    world.restart(millis);
                    for known in model.values_mut() {
                        known.2 = (known.2 + millis).min(FORGET - RETURN);
                    }
                }
            }
            model.retain(|_, (_, _, silent)| *silent < FORGET);
            prop_assert_eq!(world.replicas.all().len(), model.len());
            let counting = || model.iter().filter(|(_, (_, counts, _))| *counts);
            prop_assert_eq!(world.replicas.lowest(), counting().map(|(_, (serial, ..))| *serial).min());
            for serial in [1, world.head.serial / 2, world.head.serial] {
                let expected: Vec<_> =
                    counting().filter(|(_, (at, ..))| *at < serial).map(|(id, _)| format!("replica {id}")).collect();
                prop_assert_eq!(world.behind(serial), expected);
            }
            let counts = world.replicas.counts(world.now);
            prop_assert_eq!(counts.in_sync + counts.behind + counts.silent, counting().count() as u64);
        }
    }
}
