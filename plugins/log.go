package plugins

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Entry is one line from a plugin, or about it.
type Entry struct {
	Plugin  string
	Level   string // debug, info, warn, error
	Message string
	Fields  map[string]string // may be nil
}

// maxRate is how many lines of a plugin are logged in a second. The rest is counted.
const maxRate = 200

// bounded keeps a plugin from filling the log.
func bounded(log func(Entry)) func(Entry) {
	var mu sync.Mutex
	var second time.Time
	n := 0
	return func(e Entry) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(second) >= time.Second {
			if dropped := n - maxRate; dropped > 0 {
				log(Entry{Plugin: e.Plugin, Level: "warn", Message: fmt.Sprintf("%d lines of it were dropped: it may log %d a second", dropped, maxRate)})
			}
			second, n = now, 0
		}
		if n++; n <= maxRate {
			log(e)
		}
	}
}

// sink passes go-plugin's log lines, and the lines that it read from the
// plugin's stderr, to the host's Log.
type sink struct {
	plugin string
	log    func(Entry)
}

// newLogger returns the logger that go-plugin wants. Its own output goes
// nowhere.
func newLogger(plugin string, log func(Entry)) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Level: hclog.Debug, Output: io.Discard})
	l.RegisterSink(&sink{plugin: plugin, log: log})
	return l
}

// Accept implements hclog.SinkAdapter.
func (s *sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	if level < hclog.Debug {
		return
	}
	e := Entry{Plugin: s.plugin, Level: level.String(), Message: clean(msg, maxLine)}
	for i := 0; i+1 < len(args) && i/2 < maxFields; i += 2 {
		if e.Fields == nil {
			e.Fields = make(map[string]string)
		}
		e.Fields[clean(fmt.Sprint(args[i]), maxTypeLen)] = clean(fmt.Sprint(args[i+1]), maxMessage)
	}
	s.log(e)
}

// lines passes what a plugin prints after the handshake, line by line.
type lines struct {
	plugin string
	log    func(Entry)
	rest   []byte
}

// Write implements io.Writer. A line longer than maxLine is cut.
func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 && len(l.rest) < maxLine {
			return len(p), nil
		}
		line := l.rest
		if i >= 0 {
			line = l.rest[:i]
		}
		if text := clean(string(line), maxLine); text != "" {
			l.log(Entry{Plugin: l.plugin, Level: "info", Message: text})
		}
		if i < 0 {
			l.rest = nil
			continue
		}
		l.rest = l.rest[i+1:]
	}
}

// tail keeps the end of what was written, for the message about a plugin that
// does not start. go-plugin writes lines without and then with a newline.
type tail struct {
	buf []byte
}

const tailSize = 512 // bytes

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if n := len(t.buf) - tailSize; n > 0 {
		t.buf = append([]byte(nil), t.buf[n:]...)
	}
	return len(p), nil
}
