package controlplane

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// changesWait is how long a host's question for changes waits for one. It lies
// below the server's read timeout.
const changesWait = 20 * time.Second

// changes counts what operators have changed since the server was started.
type changes struct {
	epoch string // another one after a restart

	mu   sync.Mutex
	n    uint64
	next chan struct{} // closed by the next change
}

func newChanges() *changes { return &changes{epoch: newID(), next: make(chan struct{})} }

func (c *changes) note() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	close(c.next)
	c.next = make(chan struct{})
}

// now is the revision, and what is closed when there is another.
func (c *changes) now() (string, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%s-%d", c.epoch, c.n), c.next
}

// after waits until the revision is another than seen, or ctx or patience ends.
func (c *changes) after(ctx context.Context, seen string, ending <-chan struct{}) string {
	timer := time.NewTimer(changesWait)
	defer timer.Stop()
	for {
		revision, next := c.now()
		if revision != seen {
			return revision
		}
		select {
		case <-next:
		case <-timer.C:
			return revision
		case <-ending:
			return revision
		case <-ctx.Done():
			return revision
		}
	}
}

type endingKey struct{}

// hostChanges answers a host when something has changed since the revision that it
// names, or after changesWait. It says nothing of what: the host resolves.
func (s *Server) hostChanges(c *call) (answer, error) {
	ending, _ := c.Context().Value(endingKey{}).(<-chan struct{}) // nil outside of Serve
	revision := s.changes.after(c.Context(), c.URL.Query().Get("after"), ending)
	return answer{status: http.StatusOK, json: map[string]string{"revision": revision}}, nil
}
