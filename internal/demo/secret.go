package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/agent-launcher/agent-launcher/internal/demo/agentline"
)

// secret is one secret of the demo with the values that it gave its versions.
type secret struct {
	name   string // of the secret and of the agent's variable
	id     string // from the control plane
	values []string
	sent   time.Time // when the request for the last value began
}

func newSecret(name string) *secret {
	s := &secret{name: name}
	s.next()
	return s
}

// next makes a new value, 26 random letters and digits, and returns it.
func (s *secret) next() string {
	s.values = append(s.values, rand.Text())
	s.sent = time.Now()
	return s.values[len(s.values)-1]
}

// version says which version's value the agent got: its SHA-256 is compared
// with those of the values that were sent to the control plane.
func (s *secret) version(line agentline.Line) (int, error) {
	got, ok := line.SHA256[s.name]
	if !ok {
		return 0, fmt.Errorf("the agent did not get %s", s.name)
	}
	for i, value := range s.values {
		sum := sha256.Sum256([]byte(value))
		if got == hex.EncodeToString(sum[:]) {
			return i + 1, nil
		}
	}
	return 0, fmt.Errorf("the agent got a value of %s that no version has", s.name)
}

// canaries are all values that were ever given out.
func (d *demo) canaries() [][]byte {
	var all [][]byte
	for _, s := range d.secrets {
		for _, value := range s.values {
			all = append(all, []byte(value))
		}
	}
	return all
}
