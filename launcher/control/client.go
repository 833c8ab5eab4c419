package control

import (
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
)

// Client speaks to the daemon at a control socket.
type Client struct {
	path string
	http *http.Client
}

// NewClient returns a client for the socket at path. Nothing is dialled yet.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// HintError is an error with advice.
type HintError struct{ Message, Advice string }

// Error is the message alone.
func (e *HintError) Error() string { return e.Message }

// Hint says what to do.
func (e *HintError) Hint() string { return e.Advice }

func (c *Client) alive(ctx context.Context) error {
	return c.call(ctx, http.MethodGet, "/v1/health?level=alive", nil)
}

// Status asks for the daemon's status.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	var s Status
	return &s, c.call(ctx, http.MethodGet, "/v1/status", &s)
}

// Wake pokes an agent; with wait it returns when the heartbeat has ended.
func (c *Client) Wake(ctx context.Context, agent string, wait bool) (*Woken, error) {
	var w Woken
	return &w, c.call(ctx, http.MethodPost, agentPath(agent, "wake")+"?wait="+strconv.FormatBool(wait), &w)
}

// Stop ends an agent's run and holds the agent.
func (c *Client) Stop(ctx context.Context, agent string) error {
	return c.call(ctx, http.MethodPost, agentPath(agent, "stop"), nil)
}

// Reload makes the daemon read its configuration again.
func (c *Client) Reload(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/reload", nil)
}

// Logs copies an agent's output to w, with follow until the current run ends.
func (c *Client) Logs(ctx context.Context, agent string, follow bool, w io.Writer) error {
	resp, err := c.do(ctx, http.MethodGet, agentPath(agent, "logs")+"?follow="+strconv.FormatBool(follow))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(w, resp.Body)
	return err
}

func agentPath(agent, verb string) string {
	return "/v1/agents/" + url.PathEscape(agent) + "/" + verb
}

func (c *Client) call(ctx context.Context, method, path string, into any) error {
	resp, err := c.do(ctx, method, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("cannot read the daemon's answer: %w", err)
	}
	return nil
}

func (c *Client) do(ctx context.Context, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://agent-launcher"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var e Error
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || e.Error == "" {
		return nil, fmt.Errorf("the daemon answered %s", resp.Status)
	}
	return nil, &HintError{Message: e.Error, Advice: e.Hint}
}

func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return &HintError{Message: "no daemon answers at " + c.path,
			Advice: "is it running? systemctl status agent-launcher; another socket: --socket PATH"}
	case errors.Is(err, os.ErrPermission):
		return &HintError{Message: "permission denied at " + c.path,
			Advice: "run as root or as a member of the socket's group"}
	}
	return err
}
