//! How a put waits for room.

use std::time::Duration;

use flume_core::{ChannelError, Reserved, Room};

#[tokio::test(start_paused = true)]
async fn what_was_too_much_at_the_start_is_paid_for_first() {
    let room = Room::beside(10, Some(100), 14, 130);
    assert!(room.is_full());
    room.give_back(3, 40);
    assert!(room.is_full(), "one event and ten bytes are left over");
    room.give_back(3, 0);
    assert_eq!(room.free_events(), 2);
    let reserved = room.reserve(2, 10, Duration::ZERO, || ()).await;
    reserved.expect("room for two events of ten bytes").keep();
    assert!(room.is_full());
}

#[tokio::test(start_paused = true)]
async fn room_that_is_not_kept_goes_back() {
    let room = Room::new(4, None);
    drop(room.reserve(4, 0, Duration::ZERO, || ()).await);
    assert_eq!(room.free_events(), 4);
    let reserved = room.reserve(3, 0, Duration::ZERO, || ()).await;
    reserved.expect("room").keep();
    let refused = room.reserve(2, 0, Duration::from_secs(3), || ()).await;
    assert!(matches!(refused, Err(ChannelError::Full { wanted: 2 })));
    assert_eq!(room.free_events(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_put_in_line_takes_all_the_room_there_is() {
    let room = Room::new(4, None);
    room.reserve(3, 0, Duration::ZERO, || ())
        .await
        .expect("room")
        .keep();
    let told = std::cell::Cell::new(false);
    let large = room.reserve(2, 0, Duration::from_secs(3), || {
        assert!(
            room.is_full(),
            "it stands in line when it says that it waits"
        );
        told.set(true);
    });
    let (large, small) = tokio::join!(large, async {
        let small = room.reserve(1, 0, Duration::from_secs(1), || ()).await;
        room.give_back(3, 0);
        small.map(Reserved::keep)
    });
    assert!(told.get() && large.is_ok());
    assert!(matches!(small, Err(ChannelError::Full { wanted: 1 })));
}
