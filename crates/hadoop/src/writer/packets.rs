//! The bytes of a block on their way: queued, packed, sent, acknowledged.

use std::collections::VecDeque;

use prost::bytes::{Bytes, BytesMut};

use super::WriteSettings;
use crate::xfer::{
    messages::HEARTBEAT_SEQNO,
    packet::{PacketHeader, head},
};

/// Packets that are under way at most, as in Hadoop.
const MAX_PACKETS: usize = 80;

/// A packet to send.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OutgoingPacket {
    /// Its number.
    pub seqno: i64,
    /// Where its data begin in the block: at the boundary of a chunk.
    pub offset: u64,
    /// Its data.
    pub data: Bytes,
    /// Whether everything so far goes to disk before it is acknowledged.
    pub sync: bool,
    /// Whether the block ends with it.
    pub last: bool,
}

impl OutgoingPacket {
    pub(super) fn heartbeat() -> OutgoingPacket {
        OutgoingPacket {
            seqno: HEARTBEAT_SEQNO,
            offset: 0,
            data: Bytes::new(),
            sync: false,
            last: false,
        }
    }

    /// Where it ends in the block.
    pub fn end(&self) -> u64 {
        self.offset + self.data.len() as u64
    }

    /// Everything before its data.
    pub fn head(&self, settings: &WriteSettings) -> Vec<u8> {
        let header = PacketHeader {
            offset: self.offset as i64,
            seqno: self.seqno,
            last: self.last,
            data_length: self.data.len() as i32,
            sync: self.sync.then_some(true),
        };
        head(
            &header,
            &self.data,
            settings.checksum,
            settings.bytes_per_checksum,
        )
    }
}

/// Bytes that were written, and the packets of the present block.
#[derive(Clone, Default, Hash)]
pub(super) struct PacketQueue {
    queue: VecDeque<Bytes>,
    /// Bytes in `queue`.
    pub(super) queued: u64,
    /// The packed bytes behind the last boundary of a chunk. They go again with what follows them: a packet begins at a
    /// boundary, so that the DataNode need not read its disk to extend a checksum.
    tail: Bytes,
    /// Packets that are not acknowledged.
    pub(super) packets: VecDeque<OutgoingPacket>,
    /// How many of them, from the first, were sent.
    sent_packets: usize,
    next_seqno: i64,
    /// Bytes of the block that are in packets.
    pub(super) packed: u64,
    /// Bytes of the block that were sent on any pipeline.
    pub(super) sent: u64,
    /// Bytes of the block that every node of the pipeline has.
    pub(super) acked: u64,
    /// Up to where a packet asks for the disk.
    sync_asked: u64,
    /// Whether the packet that ends the block is there.
    pub(super) ended: bool,
}

impl PacketQueue {
    pub(super) fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.queued += bytes.len() as u64;
            self.queue.push_back(bytes);
        }
    }

    /// Packs what is queued, as far as the block and the window reach; a packet that is not full only if `everything` is
    /// wanted.
    pub(super) fn pack(&mut self, settings: &WriteSettings, everything: bool) {
        while self.queued > 0 && !self.ended && self.packets.len() < MAX_PACKETS {
            let room = settings.block_bytes - self.packed;
            let capacity = (settings.packet_data_bytes - self.tail.len()) as u64;
            let count = capacity.min(room).min(self.queued);
            if count == 0 || (count < capacity.min(room) && !everything) {
                return;
            }
            let offset = self.packed - self.tail.len() as u64;
            let data = self.gather(count as usize);
            let partial = data.len() % settings.bytes_per_checksum;
            self.tail = data.slice(data.len() - partial..);
            if partial > 0 {
                // A slice would keep the whole packet alive.
                self.tail = Bytes::copy_from_slice(&self.tail);
            }
            self.packed += count;
            self.add(offset, data, false, false);
        }
    }

    /// The tail and the next `count` queued bytes, without a copy where they are in one piece.
    fn gather(&mut self, count: usize) -> Bytes {
        self.queued -= count as u64;
        if let Some(front) = self.queue.front_mut()
            && self.tail.is_empty()
            && front.len() > count
        {
            return front.split_to(count);
        }
        let mut data = BytesMut::with_capacity(self.tail.len() + count);
        data.extend_from_slice(&self.tail);
        let mut left = count;
        while let Some(mut piece) = self.queue.pop_front() {
            let part = piece.split_to(left.min(piece.len()));
            left -= part.len();
            data.extend_from_slice(&part);
            if !piece.is_empty() {
                self.queue.push_front(piece);
            }
            if left == 0 {
                break;
            }
        }
        data.freeze()
    }

    fn add(&mut self, offset: u64, data: Bytes, sync: bool, last: bool) {
        self.packets.push_back(OutgoingPacket {
            seqno: self.next_seqno,
            offset,
            data,
            sync,
            last,
        });
        self.next_seqno += 1;
    }

    /// Makes sure that a packet asks for the disk after all that is packed.
    pub(super) fn ask_for_sync(&mut self) {
        if self.sync_asked == self.packed {
            return;
        }
        self.sync_asked = self.packed;
        let unsent = self.packets.len() > self.sent_packets;
        match self.packets.back_mut() {
            Some(packet) if unsent && packet.end() == self.packed => packet.sync = true,
            _ => self.add(self.packed, Bytes::new(), true, false),
        }
    }

    /// Adds the packet that ends the block.
    pub(super) fn end(&mut self, sync: bool) {
        self.ended = true;
        self.add(self.packed, Bytes::new(), sync, true);
    }

    /// The next packet to send.
    pub(super) fn next(&mut self) -> Option<OutgoingPacket> {
        let packet = self.packets.get(self.sent_packets)?.clone();
        self.sent_packets += 1;
        self.sent = self.sent.max(packet.end());
        Some(packet)
    }

    /// Whether something was sent that is not acknowledged.
    pub(super) fn awaits_ack(&self) -> bool {
        self.sent_packets > 0
    }

    /// Takes the acknowledgement of the first packet; `None`: it is of another.
    pub(super) fn acknowledge(&mut self, seqno: i64) -> Option<OutgoingPacket> {
        if self.sent_packets == 0 || self.packets.front()?.seqno != seqno {
            return None;
        }
        let packet = self.packets.pop_front()?;
        self.sent_packets -= 1;
        self.acked = self.acked.max(packet.end());
        Some(packet)
    }

    /// Everything that is not acknowledged has to be sent again, on another connection.
    pub(super) fn rewind(&mut self) {
        self.sent_packets = 0;
    }

    /// The block is over, and the next one begins.
    pub(super) fn next_block(&mut self) {
        *self = PacketQueue {
            queue: std::mem::take(&mut self.queue),
            queued: self.queued,
            ..PacketQueue::default()
        };
    }
}
