package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"
)

// Client speaks to the daemon at a control socket.
//
// A daemon can hang and its socket still take connections: no call waits for
// ever. Those that take as long as a run ask for a sign of life meanwhile.
type Client struct {
	path     string
	http     *http.Client
	patience time.Duration
}

// NewClient returns a client for the socket at path. Nothing is dialled yet.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return &Client{path: path, patience: 10 * time.Second, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// HintError is an error with advice.
type HintError struct{ Message, Advice string }

// Error is the message alone.
func (e *HintError) Error() string { return e.Message }

// Hint says what to do.
func (e *HintError) Hint() string { return e.Advice }

// alive reports why the daemon gives no sign of life. Any answer is one.
func (c *Client) alive(ctx context.Context) error {
	ctx, cancel := c.soon(ctx, 1)
	defer cancel()
	resp, err := c.send(ctx, http.MethodGet, "/v1/health?level=alive", nil)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// soon is for a call that the daemon answers at once, within so many times the
// patience.
func (c *Client) soon(ctx context.Context, times int) (context.Context, context.CancelFunc) {
	d := time.Duration(times) * c.patience
	return context.WithTimeoutCause(ctx, d, c.silent("waited "+d.String()))
}

func (c *Client) silent(how string) error {
	return &HintError{Message: "the daemon at " + c.path + " does not answer: " + how,
		Advice: "it hangs, or something stopped it: systemctl status agent-launcher; journalctl -u agent-launcher"}
}

// late is for a call that may take as long as a run: it ends with the daemon.
func (c *Client) late(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancelCause(ctx)
	go func() {
		for {
			if err := c.alive(ctx); err != nil {
				end(err)
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(c.patience):
			}
		}
	}()
	return ctx, func() { end(nil) }
}

// Status asks for the daemon's status.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	ctx, cancel := c.soon(ctx, 1)
	defer cancel()
	var s Status
	return &s, c.call(ctx, http.MethodGet, "/v1/status", &s)
}

// Wake pokes an agent; with wait it returns when the heartbeat has ended.
func (c *Client) Wake(ctx context.Context, agent string, about Wake, wait bool) (*Woken, error) {
	within := func(ctx context.Context) (context.Context, context.CancelFunc) { return c.soon(ctx, 1) }
	if wait {
		within = c.late
	}
	ctx, cancel := within(ctx)
	defer cancel()
	if err := about.check(); err != nil {
		return nil, err
	}
	var w Woken
	return &w, c.tell(ctx, http.MethodPost, agentPath(agent, "wake")+"?wait="+strconv.FormatBool(wait), &about, &w)
}

// Stop ends an agent's run and holds the agent. It returns when the run is
// over: at most its grace later.
func (c *Client) Stop(ctx context.Context, agent string) error {
	ctx, cancel := c.late(ctx)
	defer cancel()
	return c.call(ctx, http.MethodPost, agentPath(agent, "stop"), nil)
}

// Drain starts no heartbeat any more and returns when nothing runs; with end it
// lets heartbeats start again.
func (c *Client) Drain(ctx context.Context, end bool) error {
	ctx, cancel := c.late(ctx)
	defer cancel()
	return c.call(ctx, http.MethodPost, "/v1/drain?end="+strconv.FormatBool(end), nil)
}

// Reload makes the daemon read its configuration again.
func (c *Client) Reload(ctx context.Context) error {
	ctx, cancel := c.soon(ctx, 6) // it reads every adapter file, after other reloads
	defer cancel()
	return c.call(ctx, http.MethodPost, "/v1/reload", nil)
}

// Logs copies an agent's output to w, with follow until the current run ends.
func (c *Client) Logs(ctx context.Context, agent string, follow bool, w io.Writer) error {
	ctx, cancel := c.late(ctx)
	defer cancel()
	resp, err := c.do(ctx, http.MethodGet, agentPath(agent, "logs")+"?follow="+strconv.FormatBool(follow), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	rerr, werr := copyAhead(w, resp.Body)
	if rerr != nil {
		return c.explain(ctx, rerr)
	}
	return werr
}

func agentPath(agent, verb string) string {
	return "/v1/agents/" + url.PathEscape(agent) + "/" + verb
}

func (c *Client) call(ctx context.Context, method, path string, into any) error {
	return c.tell(ctx, method, path, nil, into)
}

// tell is a call with a body, if it is not nil.
func (c *Client) tell(ctx context.Context, method, path string, body, into any) error {
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("cannot read the daemon's answer: %w", c.explain(ctx, err))
	}
	return nil
}

func (c *Client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var text io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("cannot encode the call: %w", err)
		}
		text = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://agent-launcher"+path, text)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	return resp, nil
}

func (c *Client) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	resp, err := c.send(ctx, method, path, body)
	if err != nil || resp.StatusCode == http.StatusOK {
		return resp, err
	}
	defer resp.Body.Close()
	var e Error
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || e.Error == "" {
		return nil, fmt.Errorf("the daemon answered %s", resp.Status)
	}
	return nil, &HintError{Message: e.Error, Advice: e.Hint}
}

func (c *Client) explain(ctx context.Context, err error) error {
	var known *HintError
	switch {
	case errors.As(context.Cause(ctx), &known):
		return known
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return &HintError{Message: "no daemon answers at " + c.path,
			Advice: "is it running? systemctl status agent-launcher; another socket: --socket PATH"}
	case errors.Is(err, syscall.EAGAIN): // connect(2): its queue is full
		return c.silent("its queue of connections is full")
	case errors.Is(err, os.ErrPermission):
		return &HintError{Message: "permission denied at " + c.path,
			Advice: "run as root or as a member of the socket's group"}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return &HintError{Message: "the daemon at " + c.path + " hung up before it had answered",
			Advice: "did it end? systemctl status agent-launcher; journalctl -u agent-launcher"}
	}
	return err
}
