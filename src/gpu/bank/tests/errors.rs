//! How failed readings are counted.

use super::rig::{Rig, device, failure};
use crate::gpu::{Consequence, GpuTick};

#[test]
fn failed_readings_are_counted_and_a_hang_once() {
    let mut rig = Rig::new(2);
    let errors = |tick: &GpuTick, uuid: &str| device(tick, uuid).errors;
    assert_eq!(errors(&rig.tick(), "a"), 0);
    rig.set("a", |fake| fake.failure = Some(failure(Consequence::Transient, "timeout")));
    assert_eq!((errors(&rig.tick(), "a"), errors(&rig.tick(), "a")), (1, 2));
    rig.set("a", |fake| fake.failure = None);
    assert_eq!(errors(&rig.tick(), "a"), 2);
    // Its late answer is an error, too, but of the same reading.
    for late in [None, Some(failure(Consequence::Transient, "timeout"))] {
        let before = errors(&rig.tick(), "a");
        rig.hang("a");
        for _ in 0..9 {
            rig.tick();
        }
        assert_eq!(errors(&rig.tick(), "a"), before + 1);
        rig.set("a", |fake| fake.failure = late);
        rig.unhang("a");
        rig.settle();
        rig.set("a", |fake| fake.failure = None);
        assert_eq!(errors(&rig.tick(), "a"), before + 1);
    }
    // An answer that is late, though nobody had noticed yet.
    rig.hang("a");
    rig.tick();
    rig.advance(60_000);
    rig.unhang("a");
    assert_eq!(errors(&rig.tick(), "a"), 5);
    // A loss counts once, not with each search; and a reader that ends is one.
    rig.set("a", |fake| (fake.failure, fake.present) = (Some(failure(Consequence::Lost, "lost")), false));
    assert_eq!(rig.until(60, "a", |device| &*device.reason == "no longer there"), 11);
    assert_eq!(errors(&rig.tick(), "a"), 6);
    rig.set("a", |fake| (fake.failure, fake.present) = (None, true));
    rig.until(60, "a", |device| device.up);
    rig.set("a", |fake| fake.panics = true);
    rig.tick();
    let tick = rig.tick();
    assert_eq!((errors(&tick, "a"), errors(&tick, "b")), (7, 0));
}
