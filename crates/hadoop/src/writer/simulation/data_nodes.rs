//! What the DataNodes of the simulation do.

use super::*;

impl World {
    /// The node before one that ended says so; the first one's end shows by itself.
    pub(super) fn tell_of_end(&mut self, chain: &Chain, at: usize, word: i32) {
        let before = chain.nodes[..at].iter().map(|node| &self.nodes[*node]);
        let hears = before.clone().all(|node| !node.dead && !node.hung);
        if hears && (at > 0 || word == status::OOB_RESTART) {
            let mut replies = vec![status::SUCCESS; at];
            replies.push(word);
            self.tell(chain.number, OUT_OF_BAND_SEQNO, replies);
        }
        if at == 0 {
            let chain = chain.number;
            self.along(chain, 0, true, Happening::Broken { chain });
        }
    }

    pub(super) fn tell(&mut self, chain: u64, seqno: i64, replies: Vec<i32>) {
        let ack = PipelineAck {
            seqno,
            replies,
            flags: vec![],
        };
        let bytes = ack.encode_length_delimited_to_vec();
        self.along(chain, 0, true, Happening::News { chain, bytes });
    }

    pub(super) fn set_up(&mut self, request: SetUpRequest) {
        if self.machine.op != request.op {
            return;
        }
        let chain = Chain {
            number: request.op,
            block: request.block.block_id,
            nodes: request.nodes.iter().map(number).collect(),
        };
        for (at, node) in chain.nodes.iter().enumerate() {
            let node = &mut self.nodes[*node];
            if node.dead {
                let bad_link = (at > 0).then(|| request.nodes[at].id.address());
                let failure = SetUpFailure {
                    bad_link,
                    text: "refused".into(),
                    ..SetUpFailure::default()
                };
                let _ = self.machine.set_up(request.op, Err(failure));
                return;
            }
            if node.hung {
                let when = self.now + SET_UP_TIMEOUT;
                let op = request.op;
                node.stalled.push(Happening::SetUp(request));
                return self.at(when, Happening::SetUpTimedOut(op));
            }
            if request.stage == stage::CREATE {
                let generation = request.block.generation_stamp;
                let replica = Replica {
                    writer: chain.number,
                    generation,
                    ..Replica::default()
                };
                node.replicas.insert(chain.block, replica);
                continue;
            }
            let replica = node
                .replicas
                .get_mut(&chain.block)
                .expect("it has the block");
            let min = request.min_bytes as usize;
            let max = request.max_bytes as usize;
            assert!(
                replica.acked >= min,
                "{} acknowledged, {min} demanded",
                replica.acked
            );
            assert!(
                replica.data.len() <= max,
                "{} received, {max} allowed",
                replica.data.len()
            );
            if request.stage == stage::CLOSE_RECOVERY {
                assert!(replica.data.len() == min && min == max);
                replica.ended = true;
            } else {
                replica.data.truncate(replica.acked);
            }
            replica.generation = request.new_generation;
            replica.writer = chain.number;
        }
        self.chain = Some(chain.number);
        self.chains.insert(chain.number, chain);
        let _ = self.machine.set_up(request.op, Ok(()));
    }

    pub(super) fn copy(&mut self, request: TransferRequest) {
        let source = &self.nodes[number(&request.source)];
        let target = &self.nodes[number(&request.target)];
        if source.dead || source.hung || target.dead || target.hung || target.full {
            return self.machine.transferred(request.op, Err("no copy".into()));
        }
        let mut replica = source.replicas[&request.block.block_id].clone();
        assert!(replica.acked as u64 >= request.block.num_bytes.unwrap());
        replica.data.truncate(replica.acked);
        replica.writer = 0;
        self.nodes[number(&request.target)]
            .replicas
            .insert(request.block.block_id, replica);
        self.machine.transferred(request.op, Ok(()));
    }

    pub(super) fn packet(&mut self, number: u64, hop: usize, bytes: Bytes) {
        let chain = self.chains[&number].clone();
        let node = &mut self.nodes[chain.nodes[hop]];
        if node.dead {
            return;
        }
        if node.hung {
            return node.stalled.push(Happening::Packet {
                chain: number,
                hop,
                bytes,
            });
        }
        let packet = ReceivedPacket::cut(&mut BytesMut::from(&bytes[..]))
            .unwrap()
            .unwrap();
        assert!(
            packet.is_intact(ChecksumKind::Crc32c, 512),
            "a wrong checksum"
        );
        let replica = node
            .replicas
            .get_mut(&chain.block)
            .expect("it has the block");
        if replica.writer != number {
            return;
        }
        let offset = packet.header.offset as usize;
        let end = offset + packet.data.len();
        if packet.header.seqno >= 0 {
            assert!(!replica.ended, "bytes after the end");
            assert!(
                offset.is_multiple_of(512) || packet.data.is_empty(),
                "off a chunk's boundary"
            );
            assert!(offset <= replica.data.len(), "a gap");
            if end > replica.data.len() {
                if node.full {
                    replica.writer = 0;
                    return self.tell_of_end(&chain, hop, ERROR);
                }
                let new = &packet.data[replica.data.len() - offset..];
                replica.data.extend(new);
            }
            replica.ended |= packet.header.last;
        }
        if hop + 1 < chain.nodes.len() {
            let next = Happening::Packet {
                chain: number,
                hop: hop + 1,
                bytes,
            };
            return self.along(number, hop + 1, false, next);
        }
        let ack = Happening::Ack {
            chain: number,
            hop,
            seqno: packet.header.seqno,
            end,
            last: packet.header.last,
        };
        self.along(number, hop, true, ack);
    }

    pub(super) fn acknowledge(
        &mut self,
        number: u64,
        hop: usize,
        seqno: i64,
        end: usize,
        last: bool,
    ) {
        let chain = self.chains[&number].clone();
        let node = &mut self.nodes[chain.nodes[hop]];
        let ack = |hop| Happening::Ack {
            chain: number,
            hop,
            seqno,
            end,
            last,
        };
        if node.dead {
            return;
        }
        if node.hung {
            return node.stalled.push(ack(hop));
        }
        let replica = node
            .replicas
            .get_mut(&chain.block)
            .expect("it has the block");
        if replica.writer != number {
            return;
        }
        replica.acked = replica.acked.max(end.min(replica.data.len()));
        if hop > 0 {
            self.along(number, hop - 1, true, ack(hop - 1));
        } else {
            self.tell(number, seqno, vec![0; chain.nodes.len()]);
        }
    }
}
