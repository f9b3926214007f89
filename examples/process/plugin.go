// A source, sink or interceptor for `type = process`, in the frames of docs/format/component-host.md.
//
// As a source it puts `config.count` numbered events; as a sink it appends bodies to the file `config.file`; as an
// interceptor it sets the header `length`. Build it with `go build plugin.go`.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
)

const (
	source, sink, interceptor = 1, 2, 3

	open, start, stop, events, tick, done               = 1, 2, 3, 4, 5, 6
	ok, failed, opened, result, intercepted, put, hello = 64, 65, 66, 67, 68, 69, 72
)

type event struct {
	headers map[string]string
	body    []byte
}

// A payload is written at its end and read from its beginning.
type payload []byte

func (p *payload) writeByte(value byte) { *p = append(*p, value) }
func (p *payload) writeNumber(value int) {
	var bytes [4]byte
	binary.BigEndian.PutUint32(bytes[:], uint32(value))
	*p = append(*p, bytes[:]...)
}
func (p *payload) writeText(value string)  { p.writeBytes([]byte(value)) }
func (p *payload) writeBytes(value []byte) { p.writeNumber(len(value)); *p = append(*p, value...) }
func (p *payload) writePairs(pairs map[string]string) {
	p.writeNumber(len(pairs))
	for name, value := range pairs {
		p.writeText(name)
		p.writeText(value)
	}
}

func (p *payload) take(count int) []byte {
	taken := (*p)[:count]
	*p = (*p)[count:]
	return taken
}

func (p *payload) byte() byte    { return p.take(1)[0] }
func (p *payload) number() int   { return int(int32(binary.BigEndian.Uint32(p.take(4)))) }
func (p *payload) bytes() []byte { return p.take(p.number()) }
func (p *payload) text() string  { return string(p.bytes()) }

func (p *payload) pairs() map[string]string {
	pairs := map[string]string{}
	for left := p.number(); left > 0; left-- {
		name := p.text()
		pairs[name] = p.text()
	}
	return pairs
}

func (p *payload) batch() []event {
	var batch []event
	for left := p.number(); left > 0; left-- {
		headers := p.pairs()
		batch = append(batch, event{headers, p.bytes()})
	}
	return batch
}

var (
	input  = bufio.NewReader(os.Stdin)
	output = bufio.NewWriter(os.Stdout)
)

func send(lane uint32, kind byte, content payload) {
	var head payload
	head.writeNumber(len(content) + 5)
	head.writeNumber(int(lane))
	head.writeByte(kind)
	output.Write(head)
	output.Write(content)
	if output.Flush() != nil {
		os.Exit(0) // The agent is gone.
	}
}

// receive ends the program when the agent is gone.
func receive() (lane uint32, kind byte, content payload) {
	var length [4]byte
	if _, err := io.ReadFull(input, length[:]); err != nil {
		os.Exit(0)
	}
	content = make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err := io.ReadFull(input, content); err != nil {
		os.Exit(0)
	}
	lane = binary.BigEndian.Uint32(content.take(4))
	return lane, content.byte(), content
}

func putNumbered(lane uint32, count int) {
	var content payload
	content.writeNumber(1) // The number of this put; DONE brings it back.
	content.writeNumber(count)
	for number := 0; number < count; number++ {
		content.writePairs(nil)
		content.writeText(strconv.Itoa(number))
	}
	send(lane, put, content)
}

// deliver answers how many events from the front are in the file for good.
func deliver(lane uint32, file *os.File, batch []event) {
	delivered, reason := 0, ""
	for _, event := range batch {
		if _, err := file.Write(append(event.body, '\n')); err != nil {
			reason = err.Error()
			break
		}
		delivered++
	}
	var content payload
	content.writeNumber(delivered)
	content.writeByte(0)
	content.writeText(reason)
	send(lane, result, content)
}

func setLengths(lane uint32, batch []event) {
	var content payload
	content.writeNumber(len(batch))
	for index, event := range batch {
		event.headers["length"] = strconv.Itoa(len(event.body))
		content.writeNumber(index)
		content.writeByte(1) // The body is as it was.
		content.writePairs(event.headers)
	}
	send(lane, intercepted, content)
}

func fail(lane uint32, err error) {
	var content payload
	content.writeText(err.Error())
	send(lane, failed, content)
}

func main() {
	var greeting payload
	greeting.writeNumber(1)
	greeting.writeText(runtime.Version())
	send(0, hello, greeting)
	var component byte
	var properties map[string]string
	var file *os.File
	for {
		lane, kind, content := receive()
		switch kind {
		case open:
			component = content.byte()
			content.text() // Its name.
			content.text() // Its class, which a program does not have.
			properties = content.pairs()
			var answer payload
			answer.writeNumber(0)
			answer.writeNumber(2)
			answer.writeText("file")
			answer.writeText("count")
			send(lane, opened, answer)
		case start:
			var err error
			if component == sink {
				file, err = os.OpenFile(properties["file"], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
			}
			if err != nil {
				fail(lane, err)
				continue
			}
			send(lane, ok, nil)
			if component == source {
				count, _ := strconv.Atoi(properties["count"])
				putNumbered(lane, count)
			}
		case events:
			if component == sink {
				deliver(lane, file, content.batch())
			} else {
				setLengths(lane, content.batch())
			}
		case tick:
			deliver(lane, file, nil)
		case done:
			content.number()
			if reason := content.text(); reason != "" {
				fmt.Fprintln(os.Stderr, "WARN|the events are not stored:", reason)
			}
		case stop:
			send(lane, ok, nil)
			return
		}
	}
}
