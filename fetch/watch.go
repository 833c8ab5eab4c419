package fetch

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Bounds of questions for changes.
const (
	watchTimeout = 40 * time.Second       // the control plane answers after 20 s
	watchPause   = 500 * time.Millisecond // between two questions at least, whoever answers
	watchMin     = time.Second            // after a failure, doubling
	watchMax     = time.Minute
	maxRevision  = 200 // bytes
)

// Watch calls changed soon after something may have changed at the control plane,
// until ctx ends. The answers are not signed, and need not be: all that they can
// do is cause a Resolve. Where the control plane cannot tell, or is away, Watch
// asks again later. changed is called for the first answer, too.
func (s *Sealed) Watch(ctx context.Context, changed func()) {
	seen, failures := "", 0
	for ctx.Err() == nil && s.ctx.Err() == nil {
		began := time.Now()
		revision, err := s.client.changes(ctx, seen)
		pause := watchPause - time.Since(began)
		switch {
		case err != nil:
			failures++
			pause = draw(watchMin, watchMax, failures, rand.Float64())
		case revision != seen: // the first time, too: who resolved before may have missed one
			changed()
		}
		if err == nil {
			seen, failures = revision, 0
		}
		if !s.pause(ctx, pause) {
			return
		}
	}
}

func (s *Sealed) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	return false
}

// changes asks for the revision that follows seen.
func (c *client) changes(ctx context.Context, seen string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	token, err := readToken(c.opts.TokenFile)
	if err != nil {
		return "", fmt.Errorf("cannot read host token: %w", err)
	}
	where := strings.TrimSuffix(c.url, "/resolve") + "/changes?after=" + url.QueryEscape(seen)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", "agent-launcher")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return "", explain(err, watchTimeout)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the control plane answered with status %d", resp.StatusCode)
	}
	var reply struct{ Revision string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, 4096)).Decode(&reply); err != nil || reply.Revision == "" || len(reply.Revision) > maxRevision {
		return "", fmt.Errorf("the control plane's answer names no revision")
	}
	return reply.Revision, nil
}
