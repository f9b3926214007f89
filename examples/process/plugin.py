#!/usr/bin/env python3
"""A sink or interceptor for `type = process`, in the frames of docs/format/component-host.md.

As a sink it appends bodies to the file `config.file`; as an interceptor it sets the header `length`.
"""
import struct
import sys

SOURCE, SINK, INTERCEPTOR = 1, 2, 3
OPEN, START, STOP, EVENTS, TICK, DONE = 1, 2, 3, 4, 5, 6
OK, FAILED, OPENED, RESULT, INTERCEPTED, PUT, HELLO = 64, 65, 66, 67, 68, 69, 72


class Payload:
    """Reads the values of a frame one after the other."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def byte(self):
        self.at += 1
        return self.data[self.at - 1]

    def number(self):
        self.at += 4
        return struct.unpack_from(">i", self.data, self.at - 4)[0]

    def bytes(self):
        length = self.number()
        self.at += length
        return self.data[self.at - length : self.at]

    def pairs(self):
        return {self.bytes().decode(): self.bytes().decode() for _ in range(self.number())}

    def batch(self):
        return [(self.pairs(), self.bytes()) for _ in range(self.number())]


def packed(data):
    return struct.pack(">I", len(data)) + data


def pairs(headers):
    texts = [packed(text.encode()) for header in headers.items() for text in header]
    return struct.pack(">I", len(headers)) + b"".join(texts)


def send(lane, kind, payload=b""):
    sys.stdout.buffer.write(struct.pack(">IIB", len(payload) + 5, lane, kind) + payload)
    sys.stdout.buffer.flush()


def receive():
    head = sys.stdin.buffer.read(4)
    if len(head) < 4:
        sys.exit(0)
    data = sys.stdin.buffer.read(struct.unpack(">I", head)[0])
    lane, kind = struct.unpack_from(">IB", data)
    return lane, kind, Payload(data[5:])


def intercepted(batch):
    answer = [struct.pack(">I", len(batch))]
    for index, (headers, body) in enumerate(batch):
        headers["length"] = str(len(body))
        answer.append(struct.pack(">iB", index, 1) + pairs(headers))
    return b"".join(answer)


def main():
    send(0, HELLO, struct.pack(">I", 1) + packed(b"Python " + sys.version.split()[0].encode()))
    kind_of_component, properties, out = None, {}, None
    while True:
        lane, kind, payload = receive()
        if kind == OPEN:
            kind_of_component = payload.byte()
            payload.bytes(), payload.bytes()  # its name and class
            properties = payload.pairs()
            send(lane, OPENED, struct.pack(">II", 0, 1) + packed(b"file"))
        elif kind == START:
            if kind_of_component == SINK:
                out = open(properties["file"], "ab")
            send(lane, OK)
        elif kind == STOP:
            send(lane, OK)
            return
        elif kind == TICK:
            send(lane, RESULT, struct.pack(">IB", 0, 0) + packed(b""))
        elif kind_of_component == SINK:
            batch = payload.batch()
            out.writelines(body + b"\n" for _, body in batch)
            out.flush()
            send(lane, RESULT, struct.pack(">IB", len(batch), 0) + packed(b""))
        else:
            send(lane, INTERCEPTED, intercepted(payload.batch()))


if __name__ == "__main__":
    main()
