package api

import (
	"net/http"
	"strconv"
)

// lateBytes is how much of an answer is kept back.
const lateBytes = 1 << 20

// late holds an answer back until it is complete or large: until then a failure
// can still be answered as one, and the length is known.
type late struct {
	w     http.ResponseWriter
	buf   []byte
	begun bool
	err   error // of the connection
}

func (l *late) header(name, value string) { l.w.Header().Set(name, value) }

// Write implements io.Writer.
func (l *late) Write(p []byte) (int, error) { return len(p), l.write(p) }

func (l *late) text(s string) { _ = l.write([]byte(s)) } // the error stays in l.err

func (l *late) write(p []byte) error {
	l.buf = append(l.buf, p...)
	if len(l.buf) >= lateBytes {
		l.begun = true
		l.flush()
	}
	return l.err
}

func (l *late) flush() {
	if l.err == nil {
		_, l.err = l.w.Write(l.buf)
	}
	l.buf = l.buf[:0]
}

// finish sends the rest of the answer, or returns the error that made it fail
// if nothing was sent yet. Otherwise it breaks the connection, so that nobody
// takes a part for the whole.
func (l *late) finish(err error) error {
	switch {
	case err != nil && !l.begun:
		for _, name := range []string{"Content-Type", "Content-Disposition"} {
			l.w.Header().Del(name)
		}
		return err
	case err != nil:
		panic(http.ErrAbortHandler)
	case !l.begun:
		l.header("Content-Length", strconv.Itoa(len(l.buf)))
	}
	l.flush()
	return nil // the client may be gone, which is its own affair
}
