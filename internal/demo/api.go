package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// client talks to the control plane's REST API.
type client struct {
	url    string // without a path
	token  string
	values func() [][]byte // that no reply may hold
}

// call sends body as JSON and decodes the reply into reply, where not nil.
func (c *client) call(ctx context.Context, method, path string, body, reply any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("%s %s: %v", method, path, err)
	}
	for _, value := range c.values() {
		if bytes.Contains(text, value) {
			return fmt.Errorf("%s %s: the reply holds a value", method, path)
		}
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, bytes.TrimSpace(text))
	}
	if reply == nil {
		return nil
	}
	return json.Unmarshal(text, reply)
}

// Replies, with the fields that the demo needs.
type (
	idReply       struct{ ID string }
	operatorReply struct{ Token string }
	secretReply   struct {
		ID            string
		LatestVersion int
	}
	hostReply struct{ ID, Token, SigningKey string }
)

type object = map[string]any
