// Package sparselog writes lines that clients can cause as often as they like: refused connections,
// odd input, a database that is away while everybody asks. Of each message it writes one line an
// interval; that line says how many it stands for.
//
// Words: a message is the constant text of a log line. A line stands for one event, or, with the
// attribute "times", for all of its message since the line before.
//
// What always holds: the first event of a message is logged at once. No event is forgotten: those
// that were held back are in the line that follows at the end of the interval. The messages of a
// Logger are constants of the code, so what it holds is bounded.
package sparselog

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Interval is the usual one.
const Interval = time.Minute

// Logger writes at most one line an interval of each message. Its methods may be called from any
// goroutine.
type Logger struct {
	every time.Duration

	mu       sync.Mutex
	messages map[string]*message
	closed   bool
}

// message is what is held back of one message.
type message struct {
	log   *slog.Logger // of the last event
	level slog.Level
	args  []any
	times int         // events held back
	timer *time.Timer // runs while lines are held back
}

// New returns a Logger with that interval. It must be closed.
func New(every time.Duration) *Logger {
	return &Logger{every: every, messages: make(map[string]*message)}
}

// Error notes an event at slog.LevelError. The line that is held back has the attributes of the
// last event.
func (l *Logger) Error(log *slog.Logger, msg string, args ...any) {
	l.event(log, slog.LevelError, msg, args)
}

// Warn notes an event at slog.LevelWarn.
func (l *Logger) Warn(log *slog.Logger, msg string, args ...any) {
	l.event(log, slog.LevelWarn, msg, args)
}

// Info notes an event at slog.LevelInfo.
func (l *Logger) Info(log *slog.Logger, msg string, args ...any) {
	l.event(log, slog.LevelInfo, msg, args)
}

func (l *Logger) event(log *slog.Logger, level slog.Level, msg string, args []any) {
	l.mu.Lock()
	m := l.messages[msg]
	if m != nil {
		m.log, m.level, m.args = log, level, slices.Clone(args)
		m.times++
		l.mu.Unlock()
		return
	}
	if !l.closed {
		m = &message{}
		m.timer = time.AfterFunc(l.every, func() { l.release(msg, m) })
		l.messages[msg] = m
	}
	l.mu.Unlock()
	log.Log(context.Background(), level, msg, args...)
}

// release writes what was held back of a message at the end of an interval, and begins another
// one; without anything, the next event is logged at once.
func (l *Logger) release(msg string, m *message) {
	l.mu.Lock()
	held := *m
	switch {
	case l.closed:
		l.mu.Unlock()
		return
	case held.times == 0:
		delete(l.messages, msg)
	default:
		m.log, m.args, m.times = nil, nil, 0
		m.timer.Reset(l.every)
	}
	l.mu.Unlock()
	held.write(msg)
}

func (m *message) write(msg string) {
	if m.times > 0 {
		m.log.Log(context.Background(), m.level, msg, append(m.args, "times", m.times)...)
	}
}

// Close writes what is held back. Later events are logged at once, each by itself.
func (l *Logger) Close() {
	l.mu.Lock()
	held := l.messages
	l.messages = nil
	l.closed = true
	l.mu.Unlock()
	for msg, m := range held {
		m.timer.Stop()
		m.write(msg)
	}
}
